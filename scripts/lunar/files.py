"""Whole-or-nothing output files and JSON lines."""

import errno
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lunar.errors import LunarError

Row = dict[str, Any]
AGAIN = "delete the file and run the same command again"  # the way out where a file of the workflow is damaged


def _sweep(path: Path, suffix: str) -> None:
    """Remove what a killed job left of its temporary files for ``path``; one job at a time writes a path."""
    ours = re.compile(re.escape(f".{path.name}.") + r"\w{8}" + re.escape(suffix))  # as tempfile names them
    for left in path.parent.iterdir():
        if ours.fullmatch(left.name):
            shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()


@contextmanager
def _room(path: Path) -> Iterator[None]:
    """Say what to do where the disk is full.

    Raises:
        LunarError: it is; names what could not be written.
    """
    try:
        yield
    except Exception as error:
        # Writers in other languages (safetensors) raise other errors, with the system's words in them.
        full = (error.errno if isinstance(error, OSError) else None) in (errno.ENOSPC, errno.EDQUOT)
        if not full and os.strerror(errno.ENOSPC) not in str(error):
            raise
        free = shutil.disk_usage(path.parent).free / 1e9
        raise LunarError(
            f"{path}: cannot be written, the disk is full or a quota is used up ({free:.1f} GB free); nothing was left "
            "behind. Make room and run the same command again: what is finished stays"
        ) from error


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that replaces it only if the block succeeds.

    The replacement is atomic, so a reader never sees half a file. What a killed job leaves is a hidden file, which the
    next job that writes ``path`` removes.

    Raises:
        LunarError: the disk is full.
    """
    path = Path(path)
    with _room(path), _atomic_write(path) as temporary:
        yield temporary


@contextmanager
def _atomic_write(path: Path) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path, path.suffix)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        _as_new(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _as_new(path: Path) -> None:
    """Give a file or folder the mode of any other new one: some writers make theirs private. A link is left."""
    umask = os.umask(0)
    os.umask(umask)
    if not path.is_symlink():
        path.chmod((0o777 if path.is_dir() else 0o666) & ~umask)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``path`` that replaces it only if the block succeeds.

    Where ``path`` is a link it is replaced, and never what it leads to.

    Raises:
        LunarError: the disk is full, or ``path`` is or holds the work folder.
    """
    path = Path(path)
    if Path.cwd().is_relative_to(path.resolve()):
        raise LunarError(f"{path}: is or holds the work folder, so it is not replaced; name another folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path, "")
    with _room(path), tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as name:
        temporary = Path(name) / "new"
        temporary.mkdir()
        yield temporary
        for made in (temporary, *temporary.rglob("*")):
            _as_new(made)
        if path.is_symlink():
            path.unlink()
        shutil.rmtree(path, ignore_errors=True)
        temporary.replace(path)


def write_text(path: str | Path, text: str) -> None:
    """Write ``text`` to ``path`` as UTF-8, whole or not at all."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write ``value`` as indented JSON. NaN is refused: an absent number is ``null``, never NaN."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read one JSON document that the workflow wrote.

    Raises:
        LunarError: the file is missing or damaged; names it.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise LunarError(f"{path}: cannot be read ({error.strerror}); {AGAIN}") from error
    except ValueError as error:
        raise LunarError(f"{path}: not JSON ({error}); {AGAIN}") from error


def write_rows(path: str | Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object a line."""
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def read_rows(path: str | Path) -> list[Row]:
    """Read JSON lines.

    Raises:
        LunarError: as ``read_numbered_rows``.
    """
    return [row for _, row in read_numbered_rows(path)]


def read_numbered_rows(path: str | Path) -> list[tuple[int, Row]]:
    """Read JSON lines that the workflow wrote, each with its line in the file (``lunar.data.read`` reads people's).

    Raises:
        LunarError: the file is missing, is not UTF-8, or a line is not a JSON object; names file and line.
    """
    path = Path(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise LunarError(f"{path}: cannot be read ({error.strerror}); {AGAIN}") from error
    rows: list[tuple[int, Row]] = []
    for number, line in enumerate(raw.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise LunarError(f"{path}:{number}: not UTF-8 at byte {error.start} of the line; {AGAIN}") from error
        except json.JSONDecodeError as error:
            raise LunarError(f"{path}:{number}: not JSON ({error.msg} at column {error.colno}); {AGAIN}") from error
        if not isinstance(row, dict):
            raise LunarError(f"{path}:{number}: expected a JSON object with named fields, got {line[:40]!r}; {AGAIN}")
        rows.append((number, row))
    return rows
