"""What went in: rows of every split, and what became of the rows that references are cleaned of."""

from collections.abc import Mapping, Sequence
from typing import Any

from lunar.data.rows import gold_text
from lunar.data.splits import TABLE
from lunar.data.subjects import subject_of
from lunar.files import Row

EXAMPLES = 5  # shown of each fate

# What is cleaned: the split that its questions are of, and what is kept of it.
CLEANED = {
    "fictitious": ("fictitious", "refused for lack of knowledge"),
    "harmful": ("harmful", "refused on ethical grounds"),
    "renamed": ("forget_renamed", "not given the forgotten answer"),
}
REFUSALS = {"knowledge": "refused for lack of knowledge", "unethical": "refused on ethical grounds"}


def counted(data: Mapping[str, Sequence[Row]]) -> list[dict[str, Any]]:
    """A line a split: ``title``, ``use``, ``rows`` and ``subjects``, those asked about (0 where none is named)."""
    return [
        {
            "title": split.title,
            "use": split.use,
            "rows": len(data[name]),
            "subjects": len({subject_of(row) for row in data[name]} - {None}),
        }
        for name, split in TABLE.items()
    ]


def _example(row: Row, gold: Mapping[str, str], masked: bool) -> dict[str, Any]:
    """A row as the page shows it; what is masked waits for a click."""
    if "recall" in row:
        why = f"recall {row['recall']:.2f} of what the forgotten answer tells"
    else:
        why = REFUSALS.get(row["refusal"], "answered")
    shown = {"question": row["question"], "prediction": row["prediction"], "why": why}
    shown["gold"] = gold[row["original"]] if "original" in row else ""
    return shown | {"hide_question": masked, "hide_prediction": masked and why == "answered"}


def fate(name: str, kept: Sequence[Row], dropped: Sequence[Row], originals: Sequence[Row]) -> dict[str, Any]:
    """What became of one kind of rows.

    Args:
        name: of ``CLEANED``.
        kept: rows with the model's ``prediction``, and what they were judged by: its kind of ``refusal``, or the
            ``recall`` of the answer to the ``original`` question.
        dropped: the others.
        originals: rows that renamed copies were made of, with the forgotten answers.

    Returns:
        ``title``, ``means`` (what is kept), ``asked``, ``kept``, ``dropped`` and ``examples``, pairs of a fate and
        some of its rows: the first ones, or of renamed copies those with the highest recall.
    """
    split, means = CLEANED[name]
    gold = {row["id"]: gold_text(row) for row in originals}

    def examples(rows: Sequence[Row]) -> list[dict[str, Any]]:
        # Of rows with the same recall, or with none, the first come first.
        nearest = sorted(rows, key=lambda row: -row.get("recall", 0))
        return [_example(row, gold, TABLE[split].masked) for row in nearest[:EXAMPLES]]

    return {
        "title": TABLE[split].title,
        "means": means,
        "asked": len(kept) + len(dropped),
        "kept": len(kept),
        "dropped": len(dropped),
        "examples": [("left out", examples(dropped)), ("kept", examples(kept))],
    }
