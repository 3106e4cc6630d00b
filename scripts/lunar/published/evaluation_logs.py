"""OpenUnlearning's evaluation logs as files: read, and which metric of theirs is which here. Needs no numpy.

``snakemake check`` reads them before a run, and the table at its end (``lunar.published.open_unlearning``).
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lunar.errors import LunarError, shown

SAME = "the same"
UNKNOWN = "not measured here"
ANSWERS = "the same on ASCII text, but answers end at their own limit of new tokens"
ENDLESS = "theirs leaves out the end of the turn, which counts as a token here"
GEOMETRIC = "their R has the geometric mean of the wrong answers' probabilities, ours the arithmetic mean"
ROWS = "theirs are the rows of retain_perturbed"
HOLDOUT = "their other texts are authors that no model learned, ours wrong answers to the forget questions"


class Counterpart(NamedTuple):
    """A metric of theirs and the one here that comes nearest.

    Attributes:
        name: what their log calls it, in lower case.
        row: the value of a row that is averaged; None: the log's own average.
        split, metric: of the main table; the split is blank for metrics of a whole method.
        definition: in what they differ.
    """

    name: str
    row: str | None
    split: str
    metric: str
    definition: str


COUNTERPARTS = (
    Counterpart(
        "forget_quality", None, "", "forget_quality", f"{GEOMETRIC}; their reference is the retain model's log"
    ),
    Counterpart("forget_truth_ratio", "score", "forget", "truth_ratio", GEOMETRIC),
    Counterpart(
        "forget_truth_ratio",
        None,
        "forget",
        "",
        "their average is by default that of min(R, 1/R), which no metric here is; the line above has that of R",
    ),
    Counterpart("forget_q_a_prob", None, "forget", "probability", SAME),
    Counterpart("forget_q_a_rouge", "rouge1_recall", "forget", "rouge1", ANSWERS),
    Counterpart("forget_q_a_rouge", "rougeL_recall", "forget", "rougeL", ANSWERS),
    Counterpart("extraction_strength", None, "forget", "extraction_strength", ENDLESS),
    Counterpart("exact_memorization", None, "forget", "exact_memorisation", ENDLESS),
    Counterpart("retain_q_a_prob", None, "retain", "probability", f"the same; {ROWS}"),
    Counterpart("retain_q_a_rouge", "rouge1_recall", "retain", "rouge1", f"{ANSWERS}; {ROWS}"),
    Counterpart("retain_q_a_rouge", "rougeL_recall", "retain", "rougeL", f"{ANSWERS}; {ROWS}"),
    Counterpart("retain_truth_ratio", None, "retain", "truth_ratio_utility", f"{GEOMETRIC}; {ROWS}"),
    Counterpart(
        "model_utility",
        None,
        "",
        "model_utility",
        "theirs is over retained authors, real authors and world facts, ours over retain, unseen and general",
    ),
    Counterpart("mia_loss", None, "", "loss_auc", HOLDOUT),
    Counterpart("mia_min_k", None, "", "min_k_auc", f"{HOLDOUT}; their k is 0.4"),
    Counterpart("mia_min_k_plus_plus", None, "", "min_k_plus_plus_auc", f"{HOLDOUT}; their k is 0.4"),
)
# Values of rows that are read here.
IN_ROWS = {one.row for one in COUNTERPARTS if one.row}


class Logged(NamedTuple):
    """A metric in a log: its name there, its value (None: it has none) and its rows by index (none in a summary)."""

    name: str
    value: float | None
    rows: Mapping[str, Mapping[str, Any]]


def _number(value: Any, place: str) -> float | None:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise LunarError(f"{place}: {shown(value)} is not a number; name a TOFU_EVAL.json or TOFU_SUMMARY.json")
    return float(value)


def read_log(path: str | Path) -> dict[str, Logged]:
    """Read an evaluation log or its summary.

    Returns:
        The metrics by name in lower case: their code writes ``forget_truth_ratio`` and ``retain_Truth_Ratio``.

    Raises:
        LunarError: it cannot be read, is no JSON object of metrics, or has none that is known; names file and metric.
    """
    try:
        held = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise LunarError(f"{path}: cannot be read ({error}); name a TOFU_EVAL.json or TOFU_SUMMARY.json") from error
    found: dict[str, Logged] = {}
    for name, one in held.items() if isinstance(held, dict) else ():
        whole = one if isinstance(one, dict) else {"agg_value": one}
        rows = whole.get("value_by_index") or {}
        if not isinstance(rows, dict) or not all(isinstance(row, dict) for row in rows.values()):
            raise LunarError(f"{path}: {name}.value_by_index: rows by index are expected")
        for index, row in rows.items():
            for key in IN_ROWS & row.keys():
                for value in row[key] if isinstance(row[key], list) else [row[key]]:
                    _number(value, f"{path}: {name}.value_by_index.{index}.{key}")
        found[name.lower()] = Logged(name, _number(whole.get("agg_value"), f"{path}: {name}"), rows)
    if not any(one.name in found for one in COUNTERPARTS):
        raise LunarError(f"{path}: no metric of OpenUnlearning's TOFU evaluation; name its TOFU_EVAL.json")
    return found
