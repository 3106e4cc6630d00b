"""What attacks got back: tables, what their captions say, examples, evidence, and the published figures beside ours.

A pair is a (method, attack); the attack ``none`` is the method left alone. ``retain_only`` never saw what is forgotten:
what an attack draws from it is no memory, and is taken off what it draws from others.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from lunar.data.splits import ATTACKED
from lunar.errors import LunarError
from lunar.metrics.refusal import classify
from lunar.metrics.text import rouge1
from lunar.pages.rst import list_table

Pair = tuple[str, str]
Rows = Sequence[Mapping[str, Any]]

CONTROL = "retain_only"
SHOWN = ("rouge1", "rougeL", "refusal", "right", "wrong", "gibberish")
VERSUS = ("unattacked", CONTROL, "vanilla")
ENDS = {"": "mean", "_low": "low", "_high": "high"}


def tabulate(metrics: Mapping[Pair, Mapping[str, Any]], evidence: Mapping[Pair, Mapping[str, Any]]) -> pd.DataFrame:
    """The table: a row a pair, in the order of ``metrics``.

    Args:
        metrics: metric files; those of attacks compare with ``unattacked`` and reference methods on the same questions.
        evidence: what the attacks left, with the shares of answers ``changed``.

    Returns:
        Columns ``method``, ``attack``, ``ds``; of each attacked split ``<split>_n``, ``<split>_<metric>`` with its 95%
        interval (``_low``, ``_high``), ``<split>_rouge1_vs_<other>`` likewise, and ``<split>_changed``. What is not
        there is blank: nothing is compared with itself.
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
            # Unattacked answers are compared with others in the main table.
            versus = cells["rouge1"].get("versus", {}) if attack != "none" else {}
            for other in VERSUS:
                cell = versus.get(other, {})
                keys = ENDS | {"": "difference"}
                row |= {f"{split}_rouge1_vs_{other}{end}": cell.get(key) for end, key in keys.items()}
        rows.append(row)
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
    return [
        {
            "title": title,
            "rows": [
                {"attack": attack, "cells": [cell(pairs[method, attack], column) for method in methods]}
                for attack in attacks
            ],
        }
        for column, title in SECTIONS
        if table[column].notna().any()
    ]


def worst(table: pd.DataFrame, method: str) -> dict[str, Any]:
    """The row of the attack that brings back most: whose ROUGE-1 on the forget set rises most over no attack."""
    rows = [row for row in table.to_dict("records") if row["method"] == method and row["attack"] != "none"]
    return max(rows, key=lambda row: row["forget_rouge1_vs_unattacked"])


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


def summary(table: pd.DataFrame, edited: Sequence[str]) -> str:
    """reStructuredText for the report's first page: what attacks bring back, all from the numbers."""
    found = numbers(table, edited)
    title = f"**Does it stay forgotten?** What the worst of {found['attacks']} attacks brings back, by forget ROUGE-1:"
    lines = [title, ""]
    if edited:
        titles = ("method", "left alone", "worst attack", "under it", f"{CONTROL} under it")
        lines += list_table([titles, *((name, *_worst_in_numbers(table, name)) for name in edited)])
    else:
        lines += ["no edited method is attacked."]
    return "\n".join(
        [*lines, "", f"Numbers of a row are over the questions that its attack asks. {found['above']}", ""]
    )


# --- Curves


def curves_in_words(curves: Mapping[Pair, pd.DataFrame], kind: str) -> str:
    """What a figure's curves show, a clause a method and an attack.

    Where the axis is time or effort (``relearning``, ``sampling``) it is first and last value, and the highest where
    that is another; where it is the block, the highest one.
    """
    said: dict[str, list[str]] = {}
    for (method, attack), curve in curves.items():
        if curve.empty:
            continue
        if kind in ("relearning", "sampling"):
            first, last = curve.iloc[0], curve.iloc[-1]
            text, highest = f"{method} {first['forget']:.2f} to {last['forget']:.2f}", f"{curve['forget'].max():.2f}"
            text += "" if text.endswith(highest) else f" (highest {highest})"
        else:
            best = curve.loc[curve["forget"].idxmax()]
            text = f"{method} {best['forget']:.2f} (block {best['x']:g})"
        said.setdefault(attack, []).append(text)
    return "; ".join(f"{attack}: {', '.join(texts)}" for attack, texts in said.items())


# --- Quantisation


def survival(evidence: Mapping[Pair, Mapping[str, Any]], table: pd.DataFrame) -> pd.DataFrame:
    """How much of each edit survives rounding, by the edit's size in rounding steps.

    Args:
        evidence: of the attacks that round weights, on the methods that edit a model; its ``edit`` has ``size`` (of the
            edit's entries, in rounding steps), ``survival`` (the change of the rounded weights along the edit, as a
            share of it) and ``cosine`` (of that change and the edit).
        table: as ``tabulate`` gives it.

    Returns:
        A row a pair: ``method``, ``attack``, ``size``, ``survival``, ``cosine``, and ``regained``, the rise of ROUGE-1
        on the forget set over no attack, with ``regained_low`` and ``regained_high``.

    Raises:
        LunarError: evidence without one of these numbers; names the file.
    """
    pairs = by_pair(table)
    rows = []
    for (method, attack), found in evidence.items():
        row: dict[str, Any] = {"method": method, "attack": attack}
        for key in ("size", "survival", "cosine"):
            value = (found.get("edit") or {}).get(key)
            if not isinstance(value, int | float):
                raise LunarError(f"attacks/{method}/{attack}.json: edit.{key} is to be a number, it is {value!r}")
            row[key] = float(value)
        change = "forget_rouge1_vs_unattacked"
        rows.append(row | {f"regained{end}": pairs[method, attack][change + end] for end in ENDS})
    return pd.DataFrame(rows)


# --- Examples


def examples(
    attacked: Mapping[Pair, Rows], unattacked: Mapping[str, Rows], edited: Sequence[str], count: int
) -> dict[str, list[dict[str, Any]]]:
    """The forget questions that attacks brought most back of, by method.

    Args:
        attacked: answers to the forget set by pair.
        unattacked: answers to it by method, when left alone.
        edited: methods to show.
        count: questions a method, at most.

    Returns:
        By method, most regained first: ``question`` as it is left alone, ``asked`` under attack, ``gold`` (what the
        answer is judged by), ``attack`` (of all the one that gains most on this question), the texts ``unattacked``,
        ``attacked`` and ``control`` (``retain_only`` under that attack; None where it is not attacked), their ROUGE-1
        ``before`` and ``after``, ``gain``, and the ``kinds`` of the two answers, as ``lunar.metrics.refusal`` has them.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for method in edited:
        left_alone = {row["id"]: row for row in unattacked[method]}
        best: dict[str, dict[str, Any]] = {}
        for (owner, attack), rows in attacked.items():
            if owner != method:
                continue
            controls = {row["id"]: row["prediction"] for row in attacked.get((CONTROL, attack), [])}
            for row in rows:
                other = left_alone[row["id"]]
                before, after = rouge1({**other, "answer": row["answer"]}), rouge1(row)
                if after - before > max(0.0, best.get(row["id"], {}).get("gain", 0.0)):
                    best[row["id"]] = {
                        "question": other["question"],
                        "asked": row["question"],
                        "gold": row["answer"],
                        "attack": attack,
                        "unattacked": other["prediction"],
                        "attacked": row["prediction"],
                        "control": controls.get(row["id"]),
                        "before": before,
                        "after": after,
                        "gain": after - before,
                        "kinds": [classify(other["prediction"]), classify(row["prediction"])],
                    }
        found[method] = sorted(best.values(), key=lambda one: -one["gain"])[:count]
    return found


# --- Evidence


def brief(value: Any) -> str:
    """A value of evidence in a few characters: many numbers by their range, long texts cut."""
    if isinstance(value, Mapping):
        return brief(list(value.values())) if len(value) > 6 else ", ".join(f"{k} {brief(v)}" for k, v in value.items())
    if isinstance(value, list | tuple):
        if len(value) <= 3:
            return ", ".join(map(brief, value))
        if all(isinstance(one, int | float) for one in value):
            return f"{len(value)} from {brief(min(value))} to {brief(max(value))}"
        return f"{len(value)} entries"
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, float):
        return f"{value:.3g}"
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def evidence_page(
    controls: Mapping[str, Mapping[str, Any]], evidence: Mapping[Pair, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """For readers, a part an attack: what its control measured, and what was measured of each method, in short.

    Returns:
        Parts with ``attack``, ``control`` (pairs of name and text), ``columns`` and ``rows`` (``method``, ``cells``).
    """
    parts = []
    for attack, control in controls.items():
        found = {method: facts for (method, one), facts in evidence.items() if one == attack}
        columns = list(dict.fromkeys(key for facts in found.values() for key in facts))
        rows = [
            {"method": method, "cells": [brief(facts[key]) if key in facts else "" for key in columns]}
            for method, facts in found.items()
        ]
        texts = [(key, brief(value)) for key, value in control.items()]
        parts.append({"attack": attack, "control": texts, "columns": columns, "rows": rows})
    return parts


# --- Published figures

NOT_AT_HAND, NOT_RUN = "not at hand", "not run here"
PUBLISHED_ON = "lunar-topk"


def published(
    paper: Mapping[str, Any], replication: Mapping[str, Any], table: pd.DataFrame, methods: Sequence[str]
) -> pd.DataFrame:
    """Paper, replication and ours, for the attacks that the replication ran.

    Args:
        paper: facts of ``data/published/paper.yaml``.
        replication: facts of ``data/published/replication.yaml``, where ``attacks`` of a setting names ours.
        table: as ``tabulate`` gives it.
        methods: ours to show.

    Returns:
        A row an attack of ours, the first without any: ``attack`` (as published), ``ours``, ``paper`` and
        ``replication`` (ROUGE-1 on the forget set as printed, on LUNAR with two layers), ``standing`` (``void``,
        ``doubtful`` or blank), ``reason``; and of each method ``<method>``, ``_low``, ``_high``, ``_unattacked``, blank
        where it was not run.
    """

    def printed(facts: Mapping[str, Any], setting: str) -> str:
        return facts["settings"].get(setting, {}).get("figures", {}).get("forget_rouge1", NOT_AT_HAND)

    pairs = by_pair(table)
    settings = {PUBLISHED_ON: {"title": "none", "attacks": ["none"]}}
    settings |= {name: entry for name, entry in replication["settings"].items() if "attacks" in entry}
    rows = []
    for name, entry in settings.items():
        standing = next((word for word in ("void", "doubtful") if word in entry), "")
        for attack in entry["attacks"]:
            row = {
                "attack": entry["title"].removeprefix("attack, "),
                "ours": attack,
                "paper": printed(paper, name),
                "replication": printed(replication, name),
                "standing": standing,
                "reason": entry.get(standing, ""),
            }
            for method in methods:
                found = pairs.get((method, attack), {})
                row |= {f"{method}{end}": found.get(f"forget_rouge1{end}") for end in ENDS}
                rise = found.get("forget_rouge1_vs_unattacked", math.nan)
                row[f"{method}_unattacked"] = found.get("forget_rouge1", math.nan) - rise
            rows.append(row)
    return pd.DataFrame(rows).astype({f"{method}{end}": float for method in methods for end in (*ENDS, "_unattacked")})


def published_page(table: pd.DataFrame, methods: Sequence[str]) -> list[dict[str, Any]]:
    """The table of published figures for readers: rows with a cell a method of ours."""
    rows = []
    for row in table.to_dict("records"):
        cells = []
        for method in methods:
            value, before = row[method], row[f"{method}_unattacked"]
            ran = not math.isnan(value)
            cells.append(
                {
                    "text": f"{value:.3f}" if ran else NOT_RUN,
                    "interval": f"{row[f'{method}_low']:.3f} to {row[f'{method}_high']:.3f}" if ran else "",
                    "unattacked": "" if math.isnan(before) else f"{before:.3f} unattacked",
                }
            )
        rows.append(row | {"cells": cells})
    return rows
