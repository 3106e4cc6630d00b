"""Hidden or removed? Lines that an unlearned model has to keep before one may say that it no longer knows.

Source: this project. A low DS says that a model does not answer; one that never knew (``retain_only``) answers at its
own rate, has its truth ratios, and gives nothing more under any attack. Where there is no such model, what stands for
it is how much of the forgotten answers the model before gives when it is asked about people who do not exist.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from lunar.data.subjects import renamed, subject_of
from lunar.files import Row
from lunar.metrics.text import by_chance, mean, rouge1
from lunar.pages.names import BEFORE, CONTROL

COLUMNS = ("method", "line", "value", "low", "high", "kept", "attack")


class Line(NamedTuple):
    """A line of the table: a number of the main one, and between what it has to lie.

    Attributes:
        name: what the table calls it.
        split, metric: of the main table; the split is blank for metrics of the whole model.
        versus: the method whose number is taken off; None: the number itself.
        least, most: bounds of the value.
    """

    name: str
    split: str
    metric: str
    versus: str | None
    least: float
    most: float


QUALITY, UTILITY = "forget quality (p)", "model utility, share of vanilla's"
LEVEL, UNDER = "forget ROUGE-1, less {}", "worst attack: forget ROUGE-1, less {}"
STRANGER, CHANCE = "a stranger's", "chance"
WORST = UNDER.format(f"{CONTROL}'s under it")
LINES = (
    Line(LEVEL.format(f"{CONTROL}'s"), "forget", "rouge1", CONTROL, -0.05, 0.05),
    Line(QUALITY, "", "forget_quality", None, 0.05, math.inf),
    Line("retain ROUGE-1, less vanilla's", "retain", "rouge1", BEFORE, -0.03, math.inf),
    Line("unseen ROUGE-1, less vanilla's", "unseen", "rouge1", BEFORE, -0.03, math.inf),
    Line("general refused, less vanilla's", "general", "refusal", BEFORE, -math.inf, 0.03),
    Line(UTILITY, "", "model_utility", BEFORE, 0.95, math.inf),
)
BOUNDS = {line.name: (line.least, line.most) for line in LINES}
BOUNDS |= {LEVEL.format(name): (-0.05, 0.05) for name in (STRANGER, CHANCE)}
BOUNDS |= {name: (-math.inf, 0.15) for name in (WORST, UNDER.format(STRANGER), UNDER.format(CHANCE))}


class Reference(NamedTuple):
    """What stands for a model that never knew, where there is none.

    Attributes:
        name: ``STRANGER``, or ``CHANCE`` where no question names somebody who could be replaced.
        value: ROUGE-1 recall.
        asked: questions behind it.
    """

    name: str
    value: float
    asked: int


def reference(copies: Sequence[Row], forget: Sequence[Row]) -> Reference:
    """What the model before gives of forgotten answers that it cannot know.

    Args:
        copies: forget questions about made-up people, with its ``prediction`` and the ``original`` row's id.
        forget: the forget set with its predictions.
    """
    originals = {row["id"]: row for row in forget}
    rows = []
    for copy in (one for one in copies if one["original"] in originals):
        row = originals[copy["original"]]
        answer = renamed(row["answer"], subject_of(row), subject_of(copy))
        rows.append(row | {"answer": answer, "prediction": copy["prediction"]})
    if rows:
        return Reference(STRANGER, mean(rouge1, rows), len(rows))
    return Reference(CHANCE, by_chance(forget), len(forget))


def measured(line: Line, rows: Mapping[tuple[str, str, str], Mapping[str, Any]], method: str) -> dict[str, float]:
    """``value``, ``low`` and ``high`` of a line for a method; NaN where the main table has no number."""
    row = rows.get((method, line.split, line.metric), {})
    names = ("value", "low", "high")
    if line.versus:
        names = tuple(f"vs_{line.versus}{end}" for end in ("", "_low", "_high"))
    found = {end: row.get(name, math.nan) for end, name in zip(("value", "low", "high"), names, strict=True)}
    if line.metric != "model_utility":
        return found
    # The one line that is a share and no difference.
    whole = rows.get((BEFORE, line.split, line.metric), {}).get("value", math.nan)
    return {end: 1 + value / whole for end, value in found.items()}


def less(cell: Mapping[str, float], taken: float) -> dict[str, float]:
    """A value and its interval, less a number that is taken to be exact."""
    return {end: cell[end] - taken for end in ("value", "low", "high")}


def strongest(attacks: pd.DataFrame, instead: Reference | None) -> dict[str, Any]:
    """``value``, ``low`` and ``high`` of the attack that draws most above ``retain_only``, and its name as ``attack``.

    NaN without a name where none is compared with ``retain_only``; above the reference ``instead`` of it, if given.
    """
    if instead:
        under = attacks[attacks["attack"] != "none"]
        row = under.loc[under["forget_rouge1"].idxmax()]
        ends = {"value": "forget_rouge1", "low": "forget_rouge1_low", "high": "forget_rouge1_high"}
        return less({end: row[name] for end, name in ends.items()}, instead.value) | {"attack": row["attack"]}
    above = f"forget_rouge1_vs_{CONTROL}"
    if attacks[above].isna().all():
        return dict.fromkeys(("value", "low", "high"), math.nan)
    row = attacks.loc[attacks[above].idxmax()]
    return {"value": row[above], "low": row[f"{above}_low"], "high": row[f"{above}_high"], "attack": row["attack"]}


def judge(
    long: pd.DataFrame, attacks: pd.DataFrame, methods: Sequence[str], instead: Reference | None = None
) -> pd.DataFrame:
    """Every line for every method.

    Args:
        long: the long form of the main table (``lunar.pages.main_table.long``), with ``vanilla``.
        attacks: as ``lunar.pages.attacks.tabulate`` gives it.
        methods: those to judge; each is in both tables.
        instead: what stands for ``retain_only``, if that is in neither.

    Returns:
        Columns ``COLUMNS``: the value with its 95% interval; ``kept``, by the value alone: True, False, or None where
        it was not measured; ``attack``, in the last line: the one that draws most.
    """
    named = long.fillna({"split": ""}).to_dict("records")
    rows = {(row["method"], row["split"], row["metric"]): row for row in named}
    found: list[dict[str, Any]] = []
    for method in methods:
        cells = {line.name: measured(line, rows, method) for line in LINES}
        if instead:
            own = measured(LINES[0]._replace(versus=None), rows, method)
            first = {LEVEL.format(instead.name): less(own, instead.value)}
            cells = first | {name: cell for name, cell in cells.items() if name != LINES[0].name}
        under = UNDER.format(instead.name) if instead else WORST
        cells[under] = strongest(attacks[attacks["method"] == method], instead)
        for name, cell in cells.items():
            least, most = BOUNDS[name]
            kept = None if math.isnan(cell["value"]) else bool(least <= cell["value"] <= most)
            found.append({"method": method, "line": name, "kept": kept, "attack": ""} | cell)
    return pd.DataFrame(found, columns=list(COLUMNS)).astype({"kept": object})


def bound(name: str) -> str:
    """What a line asks for, in words."""
    least, most = BOUNDS[name]
    if math.isinf(least):
        return f"at most {most:g}"
    return f"at least {least:g}" if math.isinf(most) else f"{least:g} to {most:g}"


def shown(name: str, value: float) -> str:
    """A value as tables have it: differences with their sign, p-values with two digits; blank if there is none."""
    if math.isnan(value):
        return ""
    return f"{value:.2g}" if name == QUALITY else f"{value:.3f}" if name == UTILITY else f"{value:+.3f}"


def page(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The table for readers: a row a line, in it a cell a method."""
    rows = []
    for name in dict.fromkeys(table["line"]):
        cells = []
        for cell in table[table["line"] == name].to_dict("records"):
            low, high = shown(name, cell["low"]), shown(name, cell["high"])
            cells.append(
                {
                    "text": shown(name, cell["value"]) or "not measured",
                    "interval": f"{low} to {high}" if low else "",
                    "kept": cell["kept"],
                    "attack": cell["attack"],
                }
            )
        rows.append({"line": name, "bound": bound(name), "cells": cells})
    return rows


def numbers(table: pd.DataFrame, instead: Reference | None) -> dict[str, str]:
    """What the caption says: how many lines each method keeps, which keep all, and what stands for ``retain_only``."""
    said = "A model that never knew, ``retain_only``, stands beside them."
    if instead:
        what = (
            "the model before is asked about people who do not exist"
            if instead.name == STRANGER
            else "its answers are set beside the gold answers of other forget questions"
        )
        said = (
            f"No model that never knew is here. In its place stands the recall that comes out when {what}: "
            f"{instead.value:.3f} over {instead.asked} questions, taken as exact. Forget quality needs such a model."
        )
    lines = table["line"].nunique()
    kept = {name: sum(value is True for value in part["kept"]) for name, part in table.groupby("method", sort=False)}
    whole = [name for name, count in kept.items() if count == lines]
    return {
        "kept": "; ".join(f"{name} {count} of {lines}" for name, count in kept.items()),
        "against": said,
        "whole": f"All lines are kept by {' and '.join(whole)}." if whole else "No method keeps them all.",
    }
