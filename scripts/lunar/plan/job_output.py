"""What the jobs of a run print, and what their logs say: read by what shows the run (lunar.plan.watch)."""

import os
import re
import sys
from contextlib import suppress
from pathlib import Path

from lunar.plan.snakemake_files import END

KILLED = (
    "this job was killed, perhaps by Linux because memory ran out; lower batch_size, run fewer jobs at once "
    "(--resources mem_mb=...) or take a larger machine, and give the same command again"
)


def last_line(log: Path | None) -> str:
    """What a script wrote last into its log, without the time; empty where there is nothing."""
    with suppress(OSError):
        if log is not None:
            with log.open("rb") as file:
                file.seek(max(0, log.stat().st_size - 500))
                lines = file.read().decode("utf-8", "replace").splitlines()
            return re.sub(r"^\d\d:\d\d:\d\d ", "", lines[-1]) if lines else ""
    return ""


def ending(log: Path) -> str:
    """What a failed job's log says of its end, in a few lines; empty where the job did not come to write one."""
    if not log.is_file():
        return ""
    text = log.read_text(encoding="utf-8", errors="replace")
    ends = [*END.finditer(text)]
    if ends and ends[-1][1] == "done in":
        return "its script ended well; Snakemake says above what is amiss"
    if ends:
        return text[ends[-1].start(1) :].strip()
    if text and not re.match(r"\d\d:", text):  # of another Snakemake, which writes the report
        return "\n".join([line for line in text.splitlines() if line.strip()][-5:])
    return KILLED


class Printed:
    """What the jobs of a run print, kept in a file so that it does not run through the bar."""

    def __init__(self, path: Path) -> None:
        """From now on standard output and error of this process and of those that it starts go to the file."""
        self._path, self._read = path, 0
        self._kept = {number: os.dup(number) for number in (1, 2)}
        self._away = False
        self.resume()

    def _set(self, files: dict[int, int]) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, file in files.items():
            os.dup2(file, number)

    def resume(self) -> None:
        """Take up again what ``pause`` ended."""
        if self._away:
            return
        self._away = True
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        self._set(dict.fromkeys(self._kept, file))
        os.close(file)

    def pause(self) -> None:
        """Give the terminal back; jobs that were started before go on writing to the file."""
        self._away = False
        self._set(self._kept)

    def lines(self) -> list[str]:
        """Whole lines that came since the last call."""
        with self._path.open("rb") as file:
            file.seek(self._read)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._read += len(whole)
        return whole.decode("utf-8", "replace").splitlines()

    def close(self) -> None:
        """Give the terminal back for good; a file in which nothing is goes."""
        self.pause()
        for file in self._kept.values():
            os.close(file)
        with suppress(OSError):
            if not self._path.stat().st_size:
                self._path.unlink()
