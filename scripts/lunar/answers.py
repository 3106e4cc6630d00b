"""Reading what models answered and what was computed of it, checked against the data that it should belong to."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lunar.errors import LunarError
from lunar.files import Row, read_numbered_rows

FIELDS = ("id", "question", "answer", "prediction")
Rows = Sequence[Mapping[str, Any]]


def read_answers(path: str | Path, data: Rows) -> list[Row]:
    """Generated answers to the rows of a split, in their order.

    Raises:
        LunarError: a field is missing or not text, an id is not the data's at this place, or there are more or fewer
            rows than the data has; names file and line.
    """
    numbered = read_numbered_rows(path)
    for number, row in numbered:
        for field in FIELDS:
            if not isinstance(row.get(field), str):
                found = f"it is {row[field]!r}" if field in row else f"found {sorted(row)}"
                raise LunarError(f"{path}:{number}: field {field!r} must be text; {found}")
    lines, rows = [number for number, _ in numbered], [row for _, row in numbered]
    check_ids(path, rows, data, lines)
    return rows


def check_ids(path: str | Path, rows: Rows, data: Rows, lines: Sequence[int]) -> None:
    """Refuse rows that are not those of the data, in its order.

    Raises:
        LunarError: names file and line.
    """
    again = "delete the file to have it made again"
    for line, row, expected in zip(lines, rows, data, strict=False):
        if row.get("id") != expected["id"]:
            raise LunarError(f"{path}:{line}: id {row.get('id')!r}, but the data has {expected['id']!r} here; {again}")
    if len(rows) > len(data):
        raise LunarError(f"{path}:{lines[len(data)]}: {len(rows)} rows, but the data has {len(data)}; {again}")
    if len(rows) < len(data):
        end = lines[-1] if lines else 1
        missing = data[len(rows)]["id"]
        raise LunarError(f"{path}:{end}: {len(rows)} rows, but the data has {len(data)}; {missing!r} is next; {again}")


def read_parts(path: str | Path, data: Mapping[str, Rows], fields: Sequence[str]) -> dict[str, list[Row]]:
    """Rows of a file that holds several splits, each row with its ``split``.

    Args:
        path: JSON lines with ``split`` and ``id``.
        data: the rows that each split is to have.
        fields: what else each row must have.

    Raises:
        LunarError: as ``read_answers``.
    """
    parts: dict[str, list[Row]] = {split: [] for split in data}
    lines: dict[str, list[int]] = {split: [] for split in data}
    for number, row in read_numbered_rows(path):
        if row.get("split") not in parts:
            raise LunarError(f"{path}:{number}: split {row.get('split')!r} is none of {', '.join(parts)}")
        for field in fields:
            if field not in row:
                raise LunarError(f"{path}:{number}: field {field!r} is missing; found {sorted(row)}")
        parts[row["split"]].append(row)
        lines[row["split"]].append(number)
    for split, rows in parts.items():
        check_ids(path, rows, data[split], lines[split])
    return parts


def read_study(
    data: Mapping[str, Rows],
    answers: Mapping[str, str | Path],
    likelihood: str | Path,
    similarity: str | Path,
) -> dict[str, list[Row]]:
    """Everything known of one (method, attack), by split, as ``lunar.metrics`` reads it.

    Args:
        data: the rows of each split.
        answers: generated answers, a file a split.
        likelihood: rows of ``lunar.likelihood`` of the data's rows that have a gold answer.
        similarity: rows with the ``similarity`` of each answer to the refusals.

    Raises:
        LunarError: as ``read_answers``.
    """
    known = {split: gold(rows) for split, rows in data.items()}
    likelihoods = read_parts(likelihood, known, ("answer", "paraphrased", "wrong", "perturbed"))
    similarities = read_parts(similarity, data, ("similarity",))
    study = {}
    for split, path in answers.items():
        by_id = {row["id"]: row for row in likelihoods[split]}
        study[split] = [
            row | {"likelihood": by_id.get(row["id"]), "similarity": other["similarity"]}
            for row, other in zip(read_answers(path, data[split]), similarities[split], strict=True)
        ]
    return study


def gold(rows: Rows) -> list[Mapping[str, Any]]:
    """The rows that have a gold answer."""
    return [row for row in rows if row.get("answer")]
