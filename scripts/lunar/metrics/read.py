"""Reading what models answered and what was computed of it, checked against the data that it should belong to."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lunar.errors import LunarError
from lunar.files import AGAIN, Row, read_numbered_rows

FIELDS = ("id", "question", "answer", "prediction")
Rows = Sequence[Mapping[str, Any]]


def read_answers(path: str | Path, data: Rows) -> list[Row]:
    """Generated answers to the rows of a split, in their order, with the ``other_answers`` that the data has.

    Raises:
        LunarError: a field is missing or not text; an id is not the data's at this place; there are more or fewer rows
            than the data has. The error names file and line.
    """
    numbered = _texts(path, read_numbered_rows(path))
    lines, rows = [number for number, _ in numbered], [row for _, row in numbered]
    check_ids(path, rows, data, lines)
    return [row | _others(own) for row, own in zip(rows, data, strict=True)]


def _others(own: Mapping[str, Any]) -> Row:
    return {"other_answers": own["other_answers"]} if own.get("other_answers") else {}


def _texts(path: str | Path, numbered: list[tuple[int, Row]]) -> list[tuple[int, Row]]:
    """The same rows, each with the texts that an answer has."""
    for number, row in numbered:
        for field in FIELDS:
            if not isinstance(row.get(field), str):
                found = f"it is {row[field]!r}" if field in row else f"found {sorted(row)}"
                raise LunarError(f"{path}:{number}: field {field!r} must be text; {found}")
    return numbered


def read_attacks(path: str | Path, attacks: Sequence[str]) -> dict[str, Row]:
    """What attacks gave, by attack in their order; of a control's file, its evidence. Those that failed are left out.

    Raises:
        LunarError: the file has not just these attacks.
    """
    found = {row.get("part"): row for _, row in read_numbered_rows(path)}
    if found.keys() != {*attacks}:
        raise LunarError(f"{path}: holds the attacks {sorted(map(str, found))}, not {sorted(attacks)}; {AGAIN}")
    return {name: found[name] for name in attacks if "failed" not in found[name]}


def read_failures(path: str | Path) -> dict[str, str]:
    """Why attacks of such a file failed, by attack."""
    return {row["part"]: row["failed"] for _, row in read_numbered_rows(path) if "failed" in row}


def read_attacked(path: str | Path, answers: Sequence[Row], data: Rows) -> list[Row]:
    """Answers under attack, checked: to some rows of a split, in its order; ``path`` is for messages.

    An attack may ask in other words, and only some of the rows. It may also begin the answer with the gold answer's
    first words. ``answer`` then is the rest of it, by which the prediction is judged.

    Raises:
        LunarError: a field is missing or not text; there are no rows; an id is not in the data or out of order; an
            answer is not the end of the data's. The error names file and line.
    """
    numbered = _texts(path, list(enumerate(answers, 1)))
    if not numbered:
        raise LunarError(f"{path}:1: holds no rows; {AGAIN}")
    rest, rows = iter(data), []
    for number, row in numbered:
        # What is left of the iterator are the data's rows after the last one found, so order and doubles are checked.
        own = next((one for one in rest if one["id"] == row["id"]), None)
        if own is None:
            raise LunarError(f"{path}:{number}: id {row['id']!r} is not the data's, or not in its order; {AGAIN}")
        # Without blanks, since scripts that write none are cut between characters.
        gold, said = ("".join(text.split()) for text in (own["answer"], row["answer"]))
        if not said or not gold.endswith(said):
            raise LunarError(
                f"{path}:{number}: answer {row['answer']!r} is not the end of the data's {own['answer']!r}; {AGAIN}"
            )
        rows.append(row | (_others(own) if gold == said else {}))
    return rows


def judged_alike(answers: Rows, rows: Rows) -> list[Row]:
    """Of ``answers`` those to the questions of ``rows``, with the gold words that those are judged by."""
    judges = ("answer", "other_answers")
    by_id = {one["id"]: {key: one[key] for key in one if key not in judges} for one in answers}
    return [by_id[row["id"]] | {key: row[key] for key in judges if key in row} for row in rows]


def check_ids(path: str | Path, rows: Rows, data: Rows, lines: Sequence[int]) -> None:
    """Refuse rows that are not those of the data, in its order.

    Raises:
        LunarError: names file and line.
    """
    for line, row, expected in zip(lines, rows, data, strict=False):
        if row.get("id") != expected["id"]:
            raise LunarError(f"{path}:{line}: id {row.get('id')!r}, but the data has {expected['id']!r} here; {AGAIN}")
    if len(rows) > len(data):
        raise LunarError(f"{path}:{lines[len(data)]}: {len(rows)} rows, but the data has {len(data)}; {AGAIN}")
    if len(rows) < len(data):
        end = lines[-1] if lines else 1
        missing = data[len(rows)]["id"]
        raise LunarError(f"{path}:{end}: {len(rows)} rows, but the data has {len(data)}; {missing!r} is next; {AGAIN}")


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


def read_likelihoods(path: str | Path, data: Mapping[str, Rows]) -> dict[str, dict[str, Row]]:
    """Rows of ``lunar.model.likelihood`` by split and id: those of the data's rows that have a gold answer.

    Raises:
        LunarError: as ``read_answers``.
    """
    known = {split: gold(rows) for split, rows in data.items()}
    parts = read_parts(path, known, ("answer", "paraphrased", "wrong", "perturbed"))
    return {split: {row["id"]: row for row in rows} for split, rows in parts.items()}


def read_study(
    data: Mapping[str, Rows],
    answers: Mapping[str, str | Path],
    likelihood: str | Path,
    similarity: str | Path,
) -> dict[str, list[Row]]:
    """Everything known of one (method, attack), by split, as ``lunar.metrics.study`` reads it.

    Args:
        data: the rows of each split.
        answers: generated answers, a file a split.
        likelihood: as ``read_likelihoods`` reads it.
        similarity: rows with the ``similarity`` of each answer to the refusals.

    Raises:
        LunarError: as ``read_answers``.
    """
    likelihoods = read_likelihoods(likelihood, data)
    similarities = read_parts(similarity, data, ("similarity",))
    return {
        split: [
            row | {"likelihood": likelihoods[split].get(row["id"]), "similarity": other["similarity"]}
            for row, other in zip(read_answers(path, data[split]), similarities[split], strict=True)
        ]
        for split, path in answers.items()
    }


def gold(rows: Rows) -> list[Mapping[str, Any]]:
    """The rows that have a gold answer."""
    return [row for row in rows if row.get("answer")]
