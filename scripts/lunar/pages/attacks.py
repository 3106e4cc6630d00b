"""What attacks got back: the table, what its captions say, and what the report's first page says of it.

A pair is a (method, attack); the attack ``none`` is the method left alone. ``retain_only`` never saw what is forgotten:
what an attack draws from it is no memory, and is taken off what it draws from others.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import pandas as pd

from lunar.data.splits import ATTACKED
from lunar.metrics.samples import Evaluated, compare
from lunar.pages.names import BEFORE, CONTROL
from lunar.pages.numbers import linked, list_table

Pair = tuple[str, str]

SHOWN = ("rouge1", "rougeL", "refusal", "right", "wrong", "gibberish")
VERSUS = ("unattacked", CONTROL, BEFORE)
ENDS = {"": "mean", "_low": "low", "_high": "high"}


def compared(found: Mapping[Pair, Evaluated]) -> dict[Pair, dict[str, Any]]:
    """Metric files by pair; those of attacks with differences from the controls under the same attack.

    Raises:
        LunarError: a control was asked something else.
    """
    for (method, attack), own in found.items():
        if attack != "none":  # unattacked answers are compared with others in the main table
            others = (name for name in (CONTROL, BEFORE) if name != method and (name, attack) in found)
            compare(f"{method} under {attack}", own, {name: found[name, attack] for name in others})
    return {pair: own.metrics for pair, own in found.items()}


def tabulate(metrics: Mapping[Pair, Mapping[str, Any]], evidence: Mapping[Pair, Mapping[str, Any]]) -> pd.DataFrame:
    """The table: a row a pair, in the order of ``metrics``.

    Args:
        metrics: metric files, as of ``compared``.
        evidence: what the attacks left, with the shares of answers ``changed``.

    Returns:
        Columns ``method``, ``attack``, ``ds``; of each attacked split ``<split>_n``, ``<split>_<metric>`` with its 95%
        interval (``_low``, ``_high``), ``<split>_rouge1_vs_<other>`` likewise, and ``<split>_changed``. What is not
        there is blank: nothing is compared with itself. ``<split>_cut`` and ``<split>_thought`` count answers that the
        limit cut or that had a thought, where there are any.
    """
    rows = []
    for (method, attack), found in metrics.items():
        row: dict[str, Any] = {"method": method, "attack": attack, "ds": found["ds"].get("mean")}
        for split in ATTACKED:
            cells = found["splits"][split]
            row[f"{split}_n"] = cells["rouge1"]["n"]
            row[f"{split}_changed"] = evidence.get((method, attack), {}).get("changed", {}).get(split)
            for name in SHOWN:
                row |= {f"{split}_{name}{end}": cells[name].get(key) for end, key in ENDS.items()}
            versus = cells["rouge1"].get("versus", {})
            for other in VERSUS:
                cell = versus.get(other, {})
                keys = ENDS | {"": "difference"}
                row |= {f"{split}_rouge1_vs_{other}{end}": cell.get(key) for end, key in keys.items()}
        rows.append(row)
    for flag, split in product(("cut", "thought"), ATTACKED):
        counts = [found.get(flag, {}).get(split, 0) for found in metrics.values()]
        for row, count in zip(rows, counts, strict=True):
            row |= {f"{split}_{flag}": count} if any(counts) else {}
    blanks = {name: float for name in rows[0] if name not in ("method", "attack") and not name.endswith("_n")}
    return pd.DataFrame(rows).astype(blanks)


def by_pair(table: pd.DataFrame) -> dict[Pair, dict[str, Any]]:
    """Rows of the table by pair."""
    return {(row["method"], row["attack"]): row for row in table.to_dict("records")}


def above_control(row: Mapping[str, Any]) -> bool:
    """Whether an attack draws more from a method than from ``retain_only``, the whole 95% interval above zero."""
    return row[f"forget_rouge1_vs_{CONTROL}_low"] > 0  # a blank is above nothing


SECTIONS = (
    ("forget_rouge1", "Forget set, ROUGE-1 recall"),
    (f"forget_rouge1_vs_{CONTROL}", f"The same, less what {CONTROL} gives under the same attack"),
    ("forget_rougeL", "Forget set, ROUGE-L recall"),
    ("forget_refusal", "Forget set, refused"),
    ("forget_right", "Forget set, right"),
    ("forget_wrong", "Forget set, wrong"),
    ("forget_gibberish", "Forget set, gibberish"),
    ("retain_rouge1", "Retain set, ROUGE-1 recall"),
    ("retain_gibberish", "Retain set, gibberish"),
)


def page(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The table for readers: a section a number, in it a row an attack with a cell a method."""
    pairs = by_pair(table)

    def cell(row: Mapping[str, Any], column: str) -> dict[str, Any]:
        sign = "+" if "_vs_" in column else ""

        def text(key: str, sign: str = sign) -> str:
            return "" if math.isnan(row[key]) else f"{row[key]:{sign}.3f}"

        low, high = text(f"{column}_low"), text(f"{column}_high")
        split = column.partition("_")[0]
        other = {name: f"{split}_rouge1_vs_{name}" for name in VERSUS if f"{split}_rouge1" == column}
        return {
            "text": text(column),
            "interval": f"{low} to {high}" if low else "",
            "above": column == "forget_rouge1" and above_control(row),
            "versus": "; ".join(
                f"{text(key, '+')} [{text(f'{key}_low', '+')}, {text(f'{key}_high', '+')}] from {name}"
                for name, key in other.items()
                if text(key)
            ),
        }

    attacks, methods = (list(dict.fromkeys(table[name])) for name in ("attack", "method"))
    blank = dict.fromkeys(table, math.nan)  # of an attack that failed on one method
    return [
        {
            "title": title,
            "rows": [
                {"attack": attack, "cells": [cell(pairs.get((method, attack), blank), column) for method in methods]}
                for attack in attacks
            ],
        }
        for column, title in SECTIONS
        if table[column].notna().any()
    ]


def worst(table: pd.DataFrame, method: str) -> dict[str, Any]:
    """The row of the attack that brings back most of the forget set, by ROUGE-1.

    That is the one that draws most above ``retain_only`` under the same attack; where that is not attacked, the one
    that draws most above the method left alone.
    """
    rows = [row for row in table.to_dict("records") if row["method"] == method and row["attack"] != "none"]
    above = f"forget_rouge1_vs_{CONTROL}"
    known = [row for row in rows if not math.isnan(row[above])]
    return max(known or rows, key=lambda row: row[above if known else "forget_rouge1_vs_unattacked"])


def _worst_in_numbers(table: pd.DataFrame, method: str) -> tuple[str, str, str, str]:
    """Forget ROUGE-1 without attack; the attack that brings most back; under it; of the control under it."""
    row = worst(table, method)
    before = row["forget_rouge1"] - row["forget_rouge1_vs_unattacked"]
    leak = row[f"forget_rouge1_vs_{CONTROL}"]
    control = "" if math.isnan(leak) else f"{row['forget_rouge1'] - leak:.2f}"
    return f"{before:.2f}", row["attack"], f"{row['forget_rouge1']:.2f}", control


def _worst_in_words(table: pd.DataFrame, method: str) -> str:
    before, attack, after, control = _worst_in_numbers(table, method)
    return f"{method} {before} to {after} under {attack}" + (f" ({CONTROL}: {control})" if control else "")


def numbers(table: pd.DataFrame, edited: Sequence[str]) -> dict[str, Any]:
    """What captions say.

    Args:
        table: as ``tabulate`` gives it.
        edited: the attacked methods that edit a model.
    """
    attacked = table[table["attack"] != "none"]
    rows = [row for row in attacked.to_dict("records") if row["method"] in edited]
    compared = [row for row in rows if not math.isnan(row[f"forget_rouge1_vs_{CONTROL}"])]
    above = sum(map(above_control, compared))
    found = {
        "attacks": attacked["attack"].nunique(),
        "methods": table["method"].nunique(),
        "worst": "; ".join(_worst_in_words(table, name) for name in edited) or "no edited method is attacked",
        "above": f"In {above} of {len(compared)} cases an attack draws more from an edited model than from {CONTROL}, "
        "which never knew, the whole 95% interval of the difference above 0."
        if compared
        else f"{CONTROL}, which never knew, is not attacked here.",
    }
    hurt = min(attacked.to_dict("records"), key=lambda row: row["retain_rouge1_vs_unattacked"])
    found["hurt"] = f"{hurt['attack']} on {hurt['method']}, {hurt['retain_rouge1_vs_unattacked']:+.2f}"
    return found


def left_out(failures: Mapping[str, Mapping[str, str]]) -> str:
    """What is said of attacks that failed their checks, by method; nothing where none did."""
    by: dict[str, list[str]] = {}
    for method, found in failures.items():
        for attack in found:
            by.setdefault(attack, []).append(method)
    said = [
        attack if len(names) == len(failures) else f"{attack} on {', '.join(names)}" for attack, names in by.items()
    ]
    return f"Left out, since their checks of themselves failed here (section 7): {'; '.join(said)}." if said else ""


def summary(
    experiment: str, table: pd.DataFrame, edited: Sequence[str], failures: Mapping[str, Mapping[str, str]]
) -> str:
    """reStructuredText for the report's first page: what attacks bring back, all from the numbers.

    Args:
        experiment: its name.
        table: as ``tabulate`` gives it.
        edited: the attacked methods that edit a model.
        failures: of each attacked method, why attacks failed, by attack.
    """
    found = numbers(table, edited)
    beyond = CONTROL if table[f"forget_rouge1_vs_{CONTROL}"].notna().any() else "the method left alone"
    title = (
        f"**What do attacks recover?** The worst of {found['attacks']} attacks on each edit is the one whose forget "
        f"ROUGE-1 is most above that of {beyond}:"
    )
    lines = [title, ""]
    if edited:
        titles = ("method", "left alone", "worst attack", "under it", f"{CONTROL} under it")
        lines += list_table([titles, *((name, *_worst_in_numbers(table, name)) for name in edited)])
    else:
        lines += ["no edited method is attacked."]
    places = [("7.1", "figures/attacks.svg", "every attack on every method")]
    places.append(("7.8", "tables/attack_examples.html", "the answers that came back"))
    shown = " and ".join(f"{linked(experiment, number, file)} {what}" for number, file, what in places)
    notes = ["Numbers of a row are over the questions that its attack asks.", found["above"], left_out(failures)]
    return "\n".join([*lines, "", " ".join(filter(None, [*notes, f"See {shown}."])), ""])
