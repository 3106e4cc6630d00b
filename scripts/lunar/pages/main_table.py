"""Metric files to the main table, for programs and for readers."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from lunar.data.splits import TITLES
from lunar.metrics.samples import Evaluated, compare
from lunar.pages.names import BEFORE, CONTROL, OVERALL, better

Metrics = Mapping[str, Mapping[str, Any]]

# What answers are counted by besides metrics: its title, and where it comes from.
FLAGGED = {
    "cut": ("Answers that the limit cut", "answers without an end within generation.max_new_tokens"),
    "thought": ("Answers with a thought", "thoughts are taken off before scoring (model.template_arguments)"),
}


def compared(found: Mapping[str, Evaluated]) -> Metrics:
    """Metric files by method, each number with its paired differences from the controls as ``versus``."""
    references = {name: found[name] for name in (BEFORE, CONTROL) if name in found}
    for name, own in found.items():
        compare(name, own, references)
    return {name: own.metrics for name, own in found.items()}


def described(metrics: Metrics, split: str | None, name: str) -> Mapping[str, Any]:
    """What a metric's file says of it, as metric files hold it (``lunar.metrics.study.describe``)."""
    return next(iter(metrics.values()))["described"]["methods" if split is None else "answers"][name]


def cells(metrics: Metrics, split: str | None, name: str) -> list[Mapping[str, Any]]:
    """A metric of each method, of a split or (None) of the whole method."""
    return [values[name] if split is None else values["splits"][split][name] for values in metrics.values()]


def keys(metrics: Metrics) -> list[tuple[str | None, str]]:
    """Every (split, metric) in the tables' order; the split is None for metrics of a whole method."""
    first = next(iter(metrics.values()))
    every: list[tuple[str | None, str]] = [(None, name) for name in first["described"]["methods"] if name in first]
    return every + [(split, name) for split, found in first["splits"].items() for name in found]


def _six_digits(value: Any) -> Any:
    # Significant ones: a small p-value is not to be read as zero.
    return float(f"{value:.6g}") if isinstance(value, float) else value


def wide(metrics: Metrics) -> pd.DataFrame:
    """The CSV table: a row a method, columns ``method``, ``attack``, ``ds``, others, and ``<split>_<metric>``.

    Each number is followed by its 95% interval (``_low``, ``_high``) where it has one; what is missing is blank. Last
    come ``<split>_cut`` and ``<split>_thought``, where any method has such answers: how many.
    """
    rows: list[dict[str, Any]] = [{"method": name, "attack": "none"} for name in metrics]
    for split, name in keys(metrics):
        column = name if split is None else f"{split}_{name}"
        ends = {"": "mean", "_low": "low", "_high": "high"}
        if split is None:
            one = described(metrics, None, name)
            ends = ends if one["interval"] else {"": "mean"}
            ends |= {f"_{fact}": fact for fact in one["facts"]}
        for row, cell in zip(rows, cells(metrics, split, name), strict=True):
            row |= {f"{column}{end}": _six_digits(cell.get(key)) for end, key in ends.items()}
    for flag, split, counts in flagged(metrics):
        for row, count in zip(rows, counts, strict=True):
            row[f"{split}_{flag}"] = count
    return pd.DataFrame(rows)


def flagged(metrics: Metrics) -> list[tuple[str, str, list[int]]]:
    """How many answers the limit of new tokens cut, and how many had a thought taken off, where any method has some.

    Returns:
        Each flag with a split, and its count a method.
    """
    splits = next(iter(metrics.values()))["splits"]
    every = [
        (flag, split, [own.get(flag, {}).get(split, 0) for own in metrics.values()])
        for split in splits
        for flag in FLAGGED
    ]
    return [each for each in every if any(each[2])]


def long(metrics: Metrics) -> pd.DataFrame:
    """Every number on a row of its own, with n, paired differences from the controls, and reasons.

    Columns: ``method``, ``attack``, ``split`` (blank for metrics of a whole method), ``metric``, ``value``, ``low``,
    ``high``, ``n``, ``reason`` (why there is no value), and ``vs_<method>``, ``_low``, ``_high``.
    """
    rows = []
    for split, name in keys(metrics):
        for method, cell in zip(metrics, cells(metrics, split, name), strict=True):
            row = {"method": method, "attack": "none", "split": split, "metric": name, "value": cell.get("mean")}
            row |= {key: cell.get(key) for key in ("low", "high", "n", "reason")}
            for other, versus in cell.get("versus", {}).items():
                row |= {f"vs_{other}": versus["difference"]}
                row |= {f"vs_{other}_{end}": versus[end] for end in ("low", "high")}
            rows.append({key: _six_digits(value) for key, value in row.items()})
    return pd.DataFrame(rows).astype({"n": "Int64"})


def _texts(found: Sequence[Mapping[str, Any]], sense: str, digits: int) -> list[dict[str, Any]]:
    """Cells as readers see them; the best is the best as printed."""
    values = [round(cell["mean"], digits) for cell in found if "mean" in cell]
    rank = {"higher": lambda value: -value, "half": lambda value: round(abs(value - 0.5), digits)}
    key = rank.get(sense, lambda value: value)
    marked = sense != "neither" and len({key(value) for value in values}) > 1
    best = min(map(key, values), default=None)

    def number(value: float) -> str:
        return f"{value:.1e}" if 0 < abs(value) < 0.5 * 10**-digits else f"{value:.{digits}f}"

    return [
        {
            "text": number(cell["mean"]) if "mean" in cell else "",
            "interval": f"{number(cell['low'])} to {number(cell['high'])}" if "low" in cell else "",
            "reason": cell.get("reason", ""),
            "best": marked and "mean" in cell and key(round(cell["mean"], digits)) == best,
            "versus": "; ".join(
                f"{each['difference']:+.{digits}f} [{each['low']:+.{digits}f}, {each['high']:+.{digits}f}] from {other}"
                for other, each in cell.get("versus", {}).items()
            ),
        }
        for cell in found
    ]


def readable(metrics: Metrics) -> list[dict[str, Any]]:
    """The table for readers: a row a (split, metric), a column a method.

    Each row has ``split``, ``metric``, ``better``, ``n``, ``source`` and ``cells`` with ``text``, ``interval``,
    ``best``, ``versus`` (paired differences) and, where the number is missing, the ``reason``.
    """
    rows = []
    for split, name in keys(metrics):
        found = cells(metrics, split, name)
        one = described(metrics, split, name)
        sense = one["better"] if split is None else better(one["better"], split)
        first = next((cell for cell in found if "mean" in cell), {})
        notes = [next(iter(metrics.values())).get("notes", {}).get(name)]
        notes += [f"{fact} {first[fact]:.3g}" for fact in one.get("facts", ()) if fact.startswith("n_") and first]
        notes += [f"members: {', '.join(first['members'])}" if "members" in first else None]
        rows.append(
            {
                "split": OVERALL if split is None else TITLES[split],
                "metric": one["title"],
                "better": sense,
                "n": first.get("n", ""),
                "source": "; ".join([one["source"], *filter(None, notes)]),
                "cells": _texts(found, sense, one.get("digits", 3)),
            }
        )
    for flag, split, counts in flagged(metrics):
        title, source = FLAGGED[flag]
        blank = {"interval": "", "reason": "", "best": False, "versus": ""}
        row = {"split": TITLES[split], "metric": title, "better": "neither", "n": "", "source": source}
        rows.append(row | {"cells": [{"text": str(count)} | blank for count in counts]})
    return rows


def sections(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows by split: ``title``, ``rows`` with a number, and ``blanks``, each reason with the metrics it explains.

    A metric that no method has is named once with its reason instead of filling a row with it.
    """
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        section = found.setdefault(row["split"], {"title": row["split"], "rows": [], "blanks": {}})
        reasons = {cell["reason"] for cell in row["cells"]}
        if any(cell["text"] for cell in row["cells"]) or len(reasons) > 1:
            section["rows"].append(row)
        else:
            section["blanks"].setdefault(reasons.pop(), []).append(row["metric"])
    return list(found.values())
