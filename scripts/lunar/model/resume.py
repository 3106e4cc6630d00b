"""What an interrupted job leaves for its successor: finished rounds and epochs, never half of one.

Both lie beside the job's first output, under a name that Snakemake does not know, so Snakemake does not remove them.
Both hold a fingerprint of their inputs. A state that was made from other inputs is not taken up.
"""

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from lunar.data import locks
from lunar.errors import LunarError
from lunar.files import Row, atomic_write, write_rows

Answer = dict[str, str | bool]  # as rows have it: what lunar.model.chat.Said.row gives
DIGEST = hashlib.sha256().digest_size
SMALL = 10**6  # bytes; larger files are told apart by size and time, as Snakemake does


def fingerprint(paths: Iterable[str], *values: Any) -> str:
    """A checksum of files and folders, of further values, of torch and transformers, and of whether there is a GPU."""
    made_by = [torch.__version__, version("transformers"), torch.cuda.is_available()]
    found = hashlib.sha256(json.dumps([values, *made_by]).encode())
    for path in map(Path, paths):
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            state = file.stat()
            if file.is_file():
                small = state.st_size < SMALL
                content = hashlib.sha256(file.read_bytes()).hexdigest() if small else [state.st_size, state.st_mtime_ns]
                found.update(json.dumps([str(file), content]).encode())
    return found.hexdigest()


def _sha256(path: Path, end: int | None = None) -> bytes:
    """Digest of a file's first bytes, or of all."""
    found, left = hashlib.sha256(), path.stat().st_size if end is None else end
    with path.open("rb") as file:
        while left:
            piece = file.read(min(left, 2**20))
            found.update(piece)
            left -= len(piece)
    return found.digest()


def _dropped(path: Path, why: object) -> None:
    logging.getLogger(__name__).warning("%s: what an interrupted job left cannot be read and is dropped: %s", path, why)


class Answers:
    """Answers by the name of their question, kept in a file round by round; one process works on that file at a time.

    Attributes:
        texts: the answers so far.
    """

    def __init__(self, path: str | Path, key: str) -> None:
        """Take up what ``path`` holds, if it was made under the same ``key``.

        A line that cannot be read is dropped with a warning, and so are all after it: a job that was killed while it
        wrote leaves one.

        Raises:
            LunarError: as ``lunar.data.locks.hold``.
        """
        self._path = Path(path)
        locks.hold(self._path)
        self.texts: dict[str, Answer] = {}
        try:
            with self._path.open(encoding="utf-8") as file:
                if json.loads(next(file)) == {"key": key}:
                    for line in file:
                        batch = json.loads(line)["answers"]
                        if not all(isinstance(answer["prediction"], str) for answer in batch.values()):
                            raise TypeError("an answer is not text")
                        self.texts |= batch
        except (FileNotFoundError, StopIteration):
            pass  # there is nothing
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            _dropped(self._path, error)
        write_rows(self._path, [{"key": key}, {"answers": self.texts}])

    def add(self, texts: Mapping[str, Answer]) -> None:
        """Keep one more batch."""
        self.texts |= texts
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"answers": texts}) + "\n")

    def remove(self) -> None:
        """Once the outputs are there."""
        self._path.unlink()
        locks.release(self._path)


class Records:
    """What a job of many parts has made, a line a part, each with a fingerprint of all that the part came from.

    A part that stands in the output of an earlier run, or that an interrupted job had finished, is taken over where its
    fingerprint is the same. So one job can serve many parts and make only those that changed.
    """

    def __init__(self, output: str | Path) -> None:
        """Read what there is; ``output`` is the file of an earlier run, which the rule marks with ``update``.

        A line that cannot be read is dropped with a warning, and so are all after it.

        Raises:
            LunarError: as ``lunar.data.locks.hold``.
        """
        self._output, self._part = Path(output), Path(f"{output}.part")
        locks.hold(self._part)
        self._found: dict[str, Row] = {}
        for path in (self._output, self._part):
            # Lines of bytes, since those of a text would also end at signs that answers may hold, such as U+2028.
            for line in path.read_bytes().splitlines() if path.is_file() else ():
                try:
                    row = json.loads(line)
                    part, _ = row["part"], row["made_of"]
                    self._found[part] = row
                except (ValueError, TypeError, KeyError) as error:
                    _dropped(path, error)
                    break
        write_rows(self._part, self._found.values())

    def stands(self, part: str, made_of: str) -> bool:
        """Whether a part is there that was made of the same."""
        return self._found.get(part, {}).get("made_of") == made_of

    def add(self, part: str, made_of: str, record: Row) -> None:
        """Keep one more part."""
        self._found[part] = {"part": part, "made_of": made_of} | record
        with self._part.open("a", encoding="utf-8") as file:
            file.write(json.dumps(self._found[part], ensure_ascii=False, allow_nan=False) + "\n")

    def write(self, parts: Iterable[str]) -> None:
        """Write the output: these parts, in their order."""
        write_rows(self._output, [self._found[part] for part in parts])
        self._part.unlink(missing_ok=True)
        locks.release(self._part)


class Epochs:
    """The state of a training after its last finished epoch, if it had lasted long enough to be kept.

    The sha256 of the state stands behind it, so that one that is damaged is known from one that is whole.
    """

    def __init__(self, path: str | Path, key: str, seconds: float = 60.0) -> None:
        """``seconds``: of training to lose at most, but for the epoch at work; a state is as large as three models.

        Raises:
            LunarError: as ``lunar.data.locks.hold``.
        """
        self._path, self._key = Path(path), key
        self.seconds = seconds
        locks.hold(self._path)

    def load(self) -> dict[str, Any] | None:
        """What was kept last under the same key; what is damaged is dropped with a warning."""
        if not self._path.is_file():
            return None
        try:
            with self._path.open("rb") as file:
                end = file.seek(-DIGEST, os.SEEK_END)
                stated = file.read()
            if _sha256(self._path, end) != stated:
                raise ValueError("its sha256 is not the one that was written with it")
            state = torch.load(self._path, weights_only=True)
        except Exception as error:  # torch raises many kinds
            _dropped(self._path, error)
            return None
        return state if state.pop("key") == self._key else None

    def save(self, state: dict[str, Any]) -> None:
        """Keep a state in place of the one before; a disk without room for it is no reason to end the training."""
        try:
            with atomic_write(self._path) as temporary:
                torch.save(state | {"key": self._key}, temporary)
                digest = _sha256(temporary)
                with temporary.open("ab") as file:
                    file.write(digest)
        except (LunarError, OSError, RuntimeError) as error:
            logging.getLogger(__name__).warning("the state after this epoch could not be kept: %s", error)

    def remove(self) -> None:
        """Once the outputs are there."""
        self._path.unlink(missing_ok=True)
        locks.release(self._path)
