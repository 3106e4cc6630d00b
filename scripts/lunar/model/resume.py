"""What an interrupted job leaves for the job that takes its place: finished batches and epochs, never half of one.

Both lie beside the job's first output under a name that Snakemake does not know, so it leaves them alone, and both hold
a fingerprint of all that they came from: what was made from anything else is not taken up.
"""

import hashlib
import json
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from lunar.errors import LunarError
from lunar.files import atomic_write, write_rows

SMALL = 10**6  # bytes; larger files are told apart by size and time, as Snakemake does


def fingerprint(paths: Iterable[str], *values: Any) -> str:
    """A checksum of files and folders, of further values, of torch's version and of whether there is a GPU."""
    found = hashlib.sha256(json.dumps([values, torch.__version__, torch.cuda.is_available()]).encode())
    for path in map(Path, paths):
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            state = file.stat()
            if file.is_file():
                small = state.st_size < SMALL
                content = hashlib.sha256(file.read_bytes()).hexdigest() if small else [state.st_size, state.st_mtime_ns]
                found.update(json.dumps([str(file), content]).encode())
    return found.hexdigest()


class Answers:
    """Answers to the first questions in the order of work, kept in a file batch by batch.

    Attributes:
        texts: the answers so far.
    """

    def __init__(self, path: str | Path, key: str) -> None:
        """Take up what ``path`` holds, if it was made under the same ``key``."""
        self._path = Path(path)
        self.texts: list[str] = []
        lines = self._path.read_bytes().splitlines() if self._path.is_file() else []
        try:
            if lines and json.loads(lines[0]) == {"key": key}:
                for line in lines[1:]:
                    self.texts += json.loads(line)["answers"]
        except ValueError:
            pass  # the line that was being written when the job was killed
        write_rows(self._path, [{"key": key}, {"answers": self.texts}])

    def add(self, texts: Sequence[str]) -> None:
        """Keep one more batch."""
        self.texts += texts
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"answers": list(texts)}) + "\n")

    def remove(self) -> None:
        """Once the outputs are there."""
        self._path.unlink()


class Epochs:
    """The state of a training after its last finished epoch, if it had lasted long enough to be kept."""

    def __init__(self, path: str | Path, key: str, seconds: float = 60.0) -> None:
        """``seconds``: of training to lose at most, but for the epoch at work; a state is as large as three models."""
        self._path, self._key = Path(path), key
        self.seconds = seconds

    def load(self) -> dict[str, Any] | None:
        """What was kept last under the same key."""
        if not self._path.is_file():
            return None
        state = torch.load(self._path, weights_only=True)
        return state if state.pop("key") == self._key else None

    def save(self, state: dict[str, Any]) -> None:
        """Keep a state in place of the one before; a disk without room for it is no reason to end the training."""
        try:
            with atomic_write(self._path) as temporary:
                torch.save(state | {"key": self._key}, temporary)
        except (LunarError, OSError, RuntimeError) as error:
            logging.getLogger(__name__).warning("the state after this epoch could not be kept: %s", error)

    def remove(self) -> None:
        """Once the outputs are there."""
        self._path.unlink(missing_ok=True)
