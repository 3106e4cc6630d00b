"""Rows as people have them: JSON lists, JSON lines, CSV, TSV, Parquet and data sets that ``datasets`` saved.

Every value comes out as the text that the file has. ``007`` keeps its zeros, and ``NA`` is two letters. An empty cell
is no value. A number in JSON keeps the digits that it is written with. Nothing that is read is run or unpickled.
"""

import csv
import gzip
import io
import json
import math
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from lunar.data.files import absent
from lunar.errors import Faults
from lunar.files import Row

WANTED = "a JSON list, JSON lines, CSV (.csv), TSV (.tsv), Parquet, or a folder saved by `datasets`"
SEPARATORS = {"csv": ",;\t", "tsv": "\t"}  # of cells, by the end of the file's name
# What files of other kinds begin with, and what to do about them.
OTHERS = {
    b"version https://git-lfs": "a pointer of Git LFS and not the data; run `git lfs pull`",
    b"PK\x03\x04": "a spreadsheet or an archive; save it as CSV, or unpack it",
    b"\xd0\xcf\x11\xe0": "an old spreadsheet; save it as CSV",
    b"\x80": "pickled or otherwise binary, which is never loaded; write it as JSON lines",
    b"ARROW1": "an Arrow file; name the folder that save_to_disk wrote, or write Parquet",
    b"SQLite format 3": "a database; write the table as CSV",
    b"\x93NUMPY": "an array; write the rows as JSON lines",
    **dict.fromkeys((b"(\xb5/\xfd", b"\xfd7zXZ", b"BZh"), "compressed otherwise than by gzip; unpack it"),
    b"%PDF": "a PDF and no rows; write them as CSV or JSON lines",
    b"<": "a page of HTML or XML and not the data; fetch the file itself",
}
TURNS = ("messages", "conversations")  # fields that hold a chat


class Number(str):
    """A number as the text that it is written as."""

    def __repr__(self) -> str:
        return str(self)


class Record(NamedTuple):
    """A row with its place for messages (``file:line`` or ``file: row N``) and its number there, from 1."""

    place: str
    number: int
    row: Row


class _Object(dict[str, Any]):
    """A JSON object that remembers keys that were given twice."""

    twice: tuple[str, ...] = ()


def _object(pairs: list[tuple[str, Any]]) -> _Object:
    found = _Object(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        found.twice = tuple(sorted({key for key in keys if keys.count(key) > 1}))
    return found


_JSON = json.JSONDecoder(object_pairs_hook=_object, parse_int=Number, parse_float=Number)


def records(path: str | Path, faults: list[str] | None = None) -> list[Record]:
    """The rows of a file or of a saved data set.

    Args:
        path: a file in one of the forms above, text also compressed by gzip; or a folder.
        faults: where what is wrong is written, a line each, so that other rows are still read; None: it is raised.

    Raises:
        LunarError: the file is missing, is something else, or rows cannot be read; names file, line or row.
    """
    found = Faults()
    rows = _records(Path(path), found)
    if not rows and not found:
        found.append(f"{path}: holds no rows")
    if faults is None:
        found.end()
    else:
        faults += found
    return rows


def _records(path: Path, faults: list[str]) -> list[Record]:
    if path.is_dir():
        return _saved(path, faults)
    try:
        raw = path.read_bytes()
        if raw.startswith(b"\x1f\x8b"):
            raw = gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        faults.append(f"{path}: cannot be read ({getattr(error, 'strerror', None) or 'damaged gzip'})")
        return []
    if raw.startswith(b"PAR1"):
        return _parquet(path, raw, faults)
    if kind := next((said for start, said in OTHERS.items() if raw.lstrip().startswith(start)), None):
        faults.append(f"{path}: is {kind}")
        return []
    text = _decoded(path, raw, faults)
    if text is None:
        return []
    form = path.name.lower().removesuffix(".gz").rpartition(".")[2]
    if form in SEPARATORS:
        return _cells(path, text, SEPARATORS[form], faults)
    return _json(path, text, faults)


def _decoded(path: Path, raw: bytes, faults: list[str]) -> str | None:
    """Text in UTF-8, UTF-16 or UTF-32, told by its first bytes."""
    encoding = json.detect_encoding(raw)
    try:
        return raw.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        byte = error.start - (raw.rfind(b"\n", 0, error.start) + 1)
        name = "UTF-8" if encoding.startswith("utf-8") else encoding.upper()
        faults.append(f"{path}:{line}: not {name} at byte {byte} of the line; save the file as UTF-8")
        return None


# --- JSON


def _json(path: Path, text: str, faults: list[str]) -> list[Record]:
    """A list of objects, an object a line, or an object that has the list under one of its keys."""
    start = text.lstrip()[:1]
    if start not in ("[", "{", ""):
        found = text.lstrip().split("\n")[0][:40]
        faults.append(f"{path}:1: not JSON: it begins with {found!r}; wanted is {WANTED}")
        return []
    try:
        whole = _JSON.decode(text)
    except (ValueError, RecursionError) as error:
        # A list, or an object over several lines, which goes on with a key or opens a list.
        if start != "[" and not re.match(r'\s*\{([^\n]*[{,]|)\s*\n\s*"|\s*\{[^\n]*\[\s*\n', text):
            return _lines(path, text, faults)
        faults.append(f"{path}:{getattr(error, 'lineno', 1)}: {_said(error)}; is the file complete?")
        return []
    if isinstance(whole, _Object):
        lists = {key: value for key, value in whole.items() if key not in TURNS and _objects(value)}
        if len(lists) == 1:
            [whole] = lists.values()
        elif len(lists) > 1:
            faults.append(f"{path}: has lists of rows under {', '.join(lists)}; write one of them to a file")
            return []
        elif len(whole) > 1 and all(isinstance(value, list | dict) for value in whole.values()):
            faults.append(f"{path}: holds columns, not rows; write it with to_json(orient='records', lines=True)")
            return []
        else:
            return _checked([Record(f"{path}:{text[: text.index('{')].count(chr(10)) + 1}", 1, whole)], faults)
    rows = []
    for number, row in enumerate(whole, start=1):
        if isinstance(row, _Object):
            rows.append(Record(f"{path}: row {number}", number, row))
        else:
            faults.append(f"{path}: row {number}: expected a JSON object with named fields, got {str(row)[:40]!r}")
    return _checked(rows, faults)


def _objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, _Object) for one in value)


def _said(error: BaseException) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON ({error.msg} at column {error.colno})"
    return "not JSON (nested too deep)" if isinstance(error, RecursionError) else f"not JSON ({error})"


def _lines(path: Path, text: str, faults: list[str]) -> list[Record]:
    """An object a line; blank lines are skipped but counted, as an editor counts them."""
    rows = []
    for number, line in enumerate(re.split(r"\r\n|\n|\r", text), start=1):
        line = line.strip("\ufeff \t")
        if not line:
            continue
        try:
            row = _JSON.decode(line)
        except (ValueError, RecursionError) as error:
            faults.append(f"{path}:{number}: {_said(error)}")
            continue
        if isinstance(row, _Object):
            rows.append(Record(f"{path}:{number}", number, row))
        else:
            faults.append(f"{path}:{number}: expected a JSON object with named fields, got {line[:40]!r}")
    return _checked(rows, faults)


def _checked(rows: list[Record], faults: list[str]) -> list[Record]:
    """Refuse rows that have a key twice, of which JSON readers silently take the last."""
    for place, _, row in rows:
        if isinstance(row, _Object) and row.twice:
            faults.append(f"{place}: field {row.twice[0]!r} is there twice; leave one of them")
    return rows


# --- Tables


def _cells(path: Path, text: str, delimiters: str, faults: list[str]) -> list[Record]:
    """CSV or TSV with a line of names; cells are text, and empty ones are absent."""
    first = re.split(r"[\r\n]", text.lstrip("\r\n"))[0]
    # The separator is the one that cuts the line of names into most.
    delimiter = max(delimiters, key=lambda one: len(next(csv.reader([first], delimiter=one), [])))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    csv.field_size_limit(2**31 - 1)
    names: list[str] = []
    rows: list[Record] = []
    for line, cells in _of_csv(path, reader, faults):
        if not any(cell.strip() for cell in cells):
            continue
        if not names:
            names = [cell.strip() for cell in cells]
            if twice := sorted({name for name in names if names.count(name) > 1 and name}):
                faults.append(f"{path}:{line}: column {twice[0]!r} is there twice; leave one of them")
                return []
        elif len(cells) != len(names):
            faults.append(
                f"{path}:{line}: {len(cells)} cells under {len(names)} names; quote cells that have {delimiter!r}"
            )
        else:
            row = {name: cell for name, cell in zip(names, cells, strict=True) if cell != "" and name}
            rows.append(Record(f"{path}:{line}", len(rows) + 1, row))
    return rows


def _of_csv(path: Path, reader: Any, faults: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Rows with the line that each begins at."""
    line = 1
    try:
        for cells in reader:
            yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        faults.append(f"{path}:{line}: not CSV ({error}); is a quotation mark open?")


def _parquet(path: Path, raw: bytes, faults: list[str]) -> list[Record]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(io.BytesIO(raw))
        return _of_table(path, table, table.schema)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        faults.append(f"{path}: a Parquet file that cannot be read ({str(error).splitlines()[0]}); is it complete?")
        return []


def _saved(path: Path, faults: list[str]) -> list[Record]:
    """A data set that ``datasets`` wrote with ``save_to_disk``."""
    if said := absent(str(path)):
        faults.append(f"{path}: {said}")
        return []
    import datasets

    try:
        found = datasets.load_from_disk(str(path), keep_in_memory=True)
        return _of_table(path, found.with_format("arrow")[:], found.features.arrow_schema)
    except Exception as error:  # whatever `datasets` raises about a damaged folder
        lines = str(error).splitlines() or [type(error).__name__]
        faults.append(f"{path}: a saved data set that cannot be read ({lines[0]}); is it complete?")
        return []


def _of_table(path: Path, table: Any, schema: Any) -> list[Record]:
    """Rows of an Arrow table; a label is its name, which `datasets` notes in the schema."""
    noted = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    features = noted.get("info", {}).get("features", {})
    labels = {name: one["names"] for name, one in features.items() if isinstance(one, dict) and "names" in one}
    rows = []
    for number, row in enumerate(table.to_pylist(), start=1):
        for name, names in labels.items():
            if isinstance(row[name], int) and 0 <= row[name] < len(names):
                row[name] = names[row[name]]
        row = {name: _plain(value) for name, value in row.items() if value is not None}
        rows.append(Record(f"{path}: row {number}", number, row))
    return rows


def _plain(value: Any) -> Any:
    """Whole numbers as their digits. Others stay what they are: their digits in the file are not known."""
    if isinstance(value, int) and not isinstance(value, bool):
        return Number(value)
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return {name: _plain(one) for name, one in value.items()} if isinstance(value, dict) else value


# --- Names of fields


def renamed_fields(rows: list[Record], fields: dict[str, str], used: set[str]) -> list[Record]:
    """Rows with the names that this project has for their fields.

    Args:
        rows: of one file.
        fields: names in the file, or paths such as ``answers.text``, by those here. Where no row of the file has one,
            its own field of that name stays.
        used: what of ``fields`` was found is added.
    """
    here = {ours: theirs for ours, theirs in fields.items() if any(_at(one.row, theirs) is not None for one in rows)}
    used.update(here)
    taken = {*here, *here.values()}
    renamed = []
    for one in rows if here else ():
        own = {name: value for name, value in one.row.items() if name not in taken}
        renamed.append(one._replace(row={ours: _at(one.row, theirs) for ours, theirs in here.items()} | own))
    return renamed if here else rows


def _at(row: Any, path: str) -> Any:
    """The value of a field, or at a path of names and numbers through what fields hold; None where there is none."""
    if path in row:
        return row[path]
    for name in path.split("."):
        if isinstance(row, list) and name.isdecimal() and int(name) < len(row):
            row = row[int(name)]
        elif isinstance(row, dict):
            row = row.get(name)
        else:
            return None
    return row
