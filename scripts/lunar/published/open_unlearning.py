"""OpenUnlearning's evaluation logs beside this project's numbers, with the definitions that differ.

Source: Dorna et al. 2025, code at github.com/locuslab/open-unlearning (``src/evals``). Its TOFU evaluation writes two
files. ``TOFU_EVAL.json`` has each metric's ``agg_value`` and most metrics' rows (``value_by_index``);
``TOFU_SUMMARY.json`` has the values alone. Both are read here.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from lunar.metrics.tofu import same_distribution
from lunar.published.evaluation_logs import COUNTERPARTS, UNKNOWN, Counterpart, Logged

COLUMNS = ("method", "name", "theirs", "split", "metric", "ours", "low", "high", "inside", "definition")
CONTROL = "retain_only"  # the method whose log is the reference of forget quality


def row_values(log: Mapping[str, Logged], name: str, key: str) -> list[float]:
    """A value of each row of a metric, in the log's order; rows without one are left out, as their averages do.

    A row of several answers has a list, which is averaged first.
    """
    if name not in log:
        return []
    held = [row.get(key) for row in log[name].rows.values()]
    return [float(np.mean(value)) for value in held if value not in (None, [])]


def forget_quality(log: Mapping[str, Logged], reference: Mapping[str, Logged]) -> float | None:
    """Their forget quality from two logs: the p-value of a two-sample KS test of the rows' truth ratios.

    Their evaluation leaves it blank without a word where it was given no log of a retain model.

    Returns:
        None where a log has no rows, as a summary has none.
    """
    own, other = (row_values(one, "forget_truth_ratio", "score") for one in (log, reference))
    return same_distribution(own, other)["p_value"] if own and other else None


def theirs(log: Mapping[str, Logged], one: Counterpart) -> float | None:
    """The value in a log of a counterpart; that of rows where it asks for them."""
    if one.row is None:
        return log[one.name].value
    values = row_values(log, one.name, one.row)
    # The rows' longest common subsequence is the average that a summary has (their rouge_type).
    alone = log[one.name].value if one.row == "rougeL_recall" else None
    return float(np.mean(values)) if values else alone


def beside(
    method: str, log: Mapping[str, Logged], long: pd.DataFrame, reference: Mapping[str, Logged] | None = None
) -> pd.DataFrame:
    """A log beside this project's numbers of the same model.

    Args:
        method: what the model is called here.
        log: as ``read_log`` gives it.
        long: the long form of the main table (``lunar.pages.main_table.long``).
        reference: the log of the model that never knew. A forget quality that the log lacks is computed from both.

    Returns:
        Columns ``COLUMNS``, a row a metric in the log: theirs, ours with its 95% interval, whether theirs lies inside
        it (blank where there is none), and in what the two differ. A metric without a counterpart has theirs alone.
    """
    cells = long[long["method"] == method].fillna({"split": ""})
    own = {(row["split"], row["metric"]): row for row in cells.to_dict("records")}
    found = []
    for one in COUNTERPARTS:
        if one.name not in log:
            continue
        value, definition = theirs(log, one), one.definition
        if one.name == "forget_quality" and value is None and reference is not None:
            value, definition = forget_quality(log, reference), f"computed here from the two logs; {definition}"
        row = own.get((one.split, one.metric), {})
        name = log[one.name].name + (f", mean of {one.row}" if one.row else "")
        found.append(_row(method, name, value, one.split, one.metric, row, definition))
    known = {one.name for one in COUNTERPARTS}
    others: Sequence[Logged] = [one for name, one in sorted(log.items()) if name not in known]
    found += [_row(method, one.name, one.value, "", "", {}, UNKNOWN) for one in others if one.value is not None]
    return pd.DataFrame(found, columns=list(COLUMNS)).astype({"inside": object})


def _row(
    method: str, name: str, value: float | None, split: str, metric: str, own: Mapping[str, Any], definition: str
) -> dict[str, Any]:
    ours, low, high = (own.get(key, math.nan) for key in ("value", "low", "high"))
    inside = None if value is None or math.isnan(low) else bool(low <= value <= high)
    row = {"method": method, "name": name, "theirs": value, "split": split, "metric": metric}
    return row | {"ours": ours, "low": low, "high": high, "inside": inside, "definition": definition}


def page(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The table for readers: a row a metric, numbers as texts that are blank where there is none."""

    def text(value: float | None) -> str:
        if value is None or math.isnan(value):
            return ""
        return f"{value:.2g}" if 0 < abs(value) < 0.0005 else f"{value:.3f}"

    return [
        {
            "method": row["method"],
            "name": row["name"],
            "theirs": text(row["theirs"]),
            "here": " ".join(filter(None, (row["split"], row["metric"]))) if row["metric"] else "",
            "ours": text(row["ours"]),
            "interval": f"{text(row['low'])} to {text(row['high'])}" if text(row["low"]) else "",
            "inside": row["inside"],
            "definition": row["definition"],
        }
        for row in table.to_dict("records")
    ]
