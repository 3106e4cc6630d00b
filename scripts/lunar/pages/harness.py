"""What lm-eval's JSON tells, as columns of a table."""

from collections.abc import Mapping
from typing import Any


def columns(found: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of lm-eval's JSON by column, such as ``lunar_retain_acc`` and ``lunar_retain_acc_stderr``."""
    told = {}
    for task, metrics in found["results"].items():
        for key, value in metrics.items():
            name, _, kept = key.partition(",")  # as in "acc,none": a metric, and the filter of answers
            if isinstance(value, int | float) and kept:
                told[f"{task}_{name}" + ("" if kept == "none" else f"_{kept}")] = float(value)
    return told
