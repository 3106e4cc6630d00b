"""What the figure of forgetting against retention shows: points with intervals, and the text on hovering."""

from collections.abc import Mapping
from typing import Any

OTHERS = ("retain", "unseen")  # what is kept, a panel each


def shown(cell: Mapping[str, float]) -> str:
    """A number with its interval, for the text that hovering over a point shows."""
    return f"{cell['mean']:.2f} [{cell['low']:.2f}, {cell['high']:.2f}]"


def points(metrics: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The points of all panels, a method's after another's.

    Args:
        metrics: metrics/<method>/none.json, by method.

    Returns:
        ``method``, ``panel`` (index in ``OTHERS``), ``x`` and ``y`` (ROUGE-1 recall on the forget set and on the
        other), ``xerr`` and ``yerr`` (below and above, as matplotlib's ``errorbar`` takes them), ``id`` and ``title``.
        A method that was not asked about a set has no point in its panel.
    """
    found = []
    for number, (name, one) in enumerate(metrics.items(), start=1):
        for panel, other in enumerate(OTHERS):
            if other not in one["splits"] or "mean" not in one["splits"][other]["rouge1"]:
                continue
            x, y = (one["splits"][split]["rouge1"] for split in ("forget", other))
            bars = [[[value["mean"] - value["low"]], [value["high"] - value["mean"]]] for value in (x, y)]
            found.append(
                {
                    "method": name,
                    "panel": panel,
                    "x": x["mean"],
                    "y": y["mean"],
                    "xerr": bars[0],
                    "yerr": bars[1],
                    "id": f"point-{other}-{number}",
                    "title": f"{name}: forget {shown(x)}, {other} {shown(y)}, DS {one['ds']['mean']:.1f}",
                }
            )
    return found


def numbers(metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What the caption reads: the method of the lowest DS, and its DS."""
    best = min(metrics, key=lambda name: metrics[name]["ds"]["mean"])
    return {"best": best, "best_ds": metrics[best]["ds"]["mean"]}
