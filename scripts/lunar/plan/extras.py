"""What fields that rows may leave out would give: attacks that need them, and what `check` says of each."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lunar.data.files import FIELDS
from lunar.data.load import load
from lunar.errors import LunarError
from lunar.plan.machine import NOTE, Line
from lunar.plan.plugins import Plugin

WORDS, NAMES = ("paraphrased_question",), ("author", "names")
# Of fields of forget rows, any of which is enough: what is missing where no row has one.
GIVE = {
    WORDS: "the forget set in other words (split forget_paraphrase) and the attack paraphrase",
    ("validation_question",): "questions for blind and filter to choose on; they choose on the forget set itself",
    NAMES: "the same questions about somebody else: the attack invert, and a stranger in place of retain_only",
    ("paraphrased_answer",): "truth ratios and forget quality",
    ("perturbed_answers", "perturbed_paraphrases"): "truth ratios and forget quality, which compare wrong answers",
    ("perturbed_answers",): "membership inference (loss_auc, min_k_auc, min_k_plus_plus_auc)",
}


def has(rows: Iterable[Mapping[str, Any]], names: Iterable[str]) -> bool:
    """Whether any row has any of the fields."""
    return any(row.get(name) for row in rows for name in names)


def notes(forget: Sequence[Mapping[str, Any]]) -> list[Line]:
    """A line for what is missing because no forget row has a field.

    Args:
        forget: rows of the forget set.
    """
    lacking = {names: what for names, what in GIVE.items() if not has(forget, names)}
    remedy = "add the field to the rows of data.forget (data/README.md), or do without"
    return [
        Line(NOTE, "fields", f"no forget row has {' or '.join(names)}, which would give {what}", remedy)
        for names, what in lacking.items()
    ]


def served(attacks: Iterable[str], known: Mapping[str, Plugin], data: Mapping[str, Any]) -> list[str]:
    """The attacks that forget rows have the fields for; all where the rows cannot be read, which is told elsewhere.

    Args:
        attacks: names of attacks that are plug-ins, in their order.
        known: plug-in of each.
        data: the ``data`` section.
    """
    try:
        there = all(Path(path).exists() for path in data["forget"])
        rows = load(data["forget"], fields=data.get(FIELDS)) if there else None
    except (LunarError, KeyError, TypeError):
        rows = None
    if rows is None:
        return list(attacks)

    def fits(plugin: Plugin) -> bool:
        words = "forget_paraphrase" not in plugin.needs or has(rows, WORDS)
        return words and (not plugin.says.get("replaces_subject") or has(rows, NAMES))

    return [name for name in attacks if fits(known[name])]
