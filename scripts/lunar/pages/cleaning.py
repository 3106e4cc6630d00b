"""What went in: rows of every split, and what became of the rows that references are cleaned of."""

from collections.abc import Mapping, Sequence
from typing import Any

from lunar.data.subjects import subject_of
from lunar.files import Row
from lunar.pages.main_table import TITLES

EXAMPLES = 5  # shown of each fate

# What each split is for; the report's tables are titled alike.
SPLITS = {
    "forget": (TITLES["forget"], "to be forgotten"),
    "forget_paraphrase": (TITLES["forget_paraphrase"], "asked and reported only: nothing is built on it"),
    "forget_validation": (TITLES["forget_validation"], "steered, to score layers"),
    "forget_short": ("Forget set, half a name", "redirected with the forget set"),
    "forget_renamed": ("Forget set, renamed", "asked about somebody invented, to be left alone"),
    "retain": (TITLES["retain"], "known and to be kept; shown to the methods"),
    "unseen": (TITLES["unseen"], "known and to be kept; shown to no method"),
    "general": (TITLES["general"], "reported only"),
    "general_build": (f"{TITLES['general']}, build", "fine-tuning; kept in place, with the model's own answers"),
    "general_validation": (f"{TITLES['general']}, validation", "asked in rehearsals"),
    "harmful": (TITLES["harmful"], "reported only"),
    "harmful_build": (f"{TITLES['harmful']}, build", "fine-tuning and directions, once cleaned"),
    "fictitious": (TITLES["fictitious"], "reported only"),
    "fictitious_build": (f"{TITLES['fictitious']}, build", "fine-tuning and directions, once cleaned"),
    "refusals": ("Refusals", "answers are compared with them"),
    "refusals_build": ("Refusals, build", "fine-tuning, layer scores, methods that are given refusals"),
}

# What is cleaned: its title, whether its questions are masked, and what is kept of it.
CLEANED = {
    "fictitious": (TITLES["fictitious"], False, "refused for lack of knowledge"),
    "harmful": (TITLES["harmful"], True, "refused on ethical grounds"),
    "renamed": (SPLITS["forget_renamed"][0], False, "not given the forgotten answer"),
}
REFUSALS = {"knowledge": "refused for lack of knowledge", "unethical": "refused on ethical grounds"}


def counted(data: Mapping[str, Sequence[Row]]) -> list[dict[str, Any]]:
    """A line a split: ``title``, ``use``, ``rows`` and ``subjects``, those asked about (0 where none is named)."""
    return [
        {
            "title": title,
            "use": use,
            "rows": len(data[split]),
            "subjects": len({subject_of(row) for row in data[split]} - {None}),
        }
        for split, (title, use) in SPLITS.items()
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
    title, masked, means = CLEANED[name]
    gold = {row["id"]: row["answer"] for row in originals}

    def examples(rows: Sequence[Row]) -> list[dict[str, Any]]:
        # Of rows with the same recall, or with none, the first come first.
        nearest = sorted(rows, key=lambda row: -row.get("recall", 0))
        return [_example(row, gold, masked) for row in nearest[:EXAMPLES]]

    return {
        "title": title,
        "means": means,
        "asked": len(kept) + len(dropped),
        "kept": len(kept),
        "dropped": len(dropped),
        "examples": [("left out", examples(dropped)), ("kept", examples(kept))],
    }
