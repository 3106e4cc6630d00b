"""Metric files with a number of its own in every place, for tests of tables."""

from typing import Any

from known_answers import ALL
from lunar.metrics.study import describe

DESCRIBED = describe(dict(ALL["answers"]), dict(ALL["methods"]))
NO_ANSWERS = {"reason": "the split has no gold answers"}
Cell = dict[str, Any]


def cell(mean: float, n: int = 20) -> Cell:
    return {"mean": mean, "low": mean - 0.125, "high": mean + 0.125, "n": n}


def method(ds: Cell, forget: float, retain: float, refused: float) -> dict[str, Any]:
    """The metric file of one method, with a number of its own in every place."""
    return {
        "ds": ds,
        "forget_quality": {"mean": 0.0000123, "statistic": 0.6, "n_unlearned": 20, "n_reference": 19},
        "model_utility": {"reason": "needs likelihoods"},
        "described": DESCRIBED,
        "notes": {"rouge1": "noted"},
        "splits": {
            "forget": {"rouge1": cell(forget), "refusal": cell(refused)},
            "retain": {"rouge1": cell(retain, 100), "refusal": cell(0.0, 100)},
            "harmful": {"rouge1": NO_ANSWERS, "rougeL": NO_ANSWERS, "refusal": cell(1 - refused, 30)},
        },
    }


METRIC_FILES = {
    "vanilla": method(cell(99.25), 0.91, 0.8, 0.05),
    "retain_only": method({"reason": "needs gold answers"}, 0.3, 0.82, 0.15),
    "lunar": method(cell(21.5), 0.12, 0.78, 0.95),
}
