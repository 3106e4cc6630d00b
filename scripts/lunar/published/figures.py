"""Each published figure beside the one that the published outputs give.

A figure holds when the recomputed value lies within what its printed digits leave open (``tolerance``,
``ds_tolerance``).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lunar.metrics.deviation import deviation_score
from lunar.metrics.layer_score import Embed
from lunar.published.outputs import FIGURES, Facts, Found

HOLDS, DIFFERS, UNCHECKED = "holds", "differs", "cannot be checked"
NOT_GIVEN = "no published outputs are given (published.path in config.yaml)"


def tolerance(printed: str) -> float:
    """Half a unit of the last printed digit: any value this near rounds to the printed one."""
    return 0.5 * 10.0 ** -len(printed.partition(".")[2])


def ds_tolerance(figures: Mapping[str, str]) -> float:
    """How far a DS may differ from the printed one, by the digits that are printed.

    DS may have been computed from rounded parts, so the last digits of the parts count beside that of DS. DS is 100
    times a length, which moves by at most as much as its end point does.
    """
    parts = [tolerance(figures[name]) for name in ("forget_rouge1", "retain_rouge1") if name in figures]
    return tolerance(figures["ds"]) + 100.0 * float(np.linalg.norm(parts))


def within(difference: float, allowed: float) -> bool:
    """Whether a difference is no more than is allowed."""
    return abs(difference) <= allowed + 1e-9  # a value on the edge is not to fail by float64's rounding


def refusal_quality(predictions: Sequence[str], refusals: Sequence[str], embed: Embed) -> float:
    """RQ: the mean over outputs of the highest cosine to any of the refusals (LUNAR, section 4)."""
    return float((embed(list(predictions)) @ embed(list(refusals)).T).max(axis=1).mean())


def _recompute(
    facts: Facts, name: str, figure: str, found: Found, given: bool, embed: Embed, embedder: str
) -> tuple[float | None, str]:
    """A figure's value from the published outputs, or None, and what it follows from or why it cannot."""
    files, splits = facts["settings"][name].get("files", {}), FIGURES[figure][1]
    if not set(splits) <= set(files):
        return None, "no outputs were published"
    if not given:
        return None, NOT_GIVEN
    absent = [files[split] for split in splits if (name, split) not in found]
    if absent:
        return None, f"absent: {', '.join(absent)}"
    used = [found[name, split] for split in splits]
    origin = "from " + " and ".join(f"{one.path.name} ({len(one.rows)} rows)" for one in used)
    if figure == "ds":
        return deviation_score(*(one.rouge1 for one in used)), origin
    if figure != "rq":
        return used[0].rouge1, origin
    value = refusal_quality([row["prediction"] for row in used[0].rows], facts["rq"]["refusals"], embed)
    needed = facts["rq"]["embedder"]
    if Path(embedder).name.lower() != Path(needed).name.lower():
        return None, f"needs {needed} (published.embedder); {embedder} gives {value:.3f}, on another scale"
    return value, f"{origin}, embedded by {embedder}"


def recomputed(facts: Facts, found: Found, given: bool, embed: Embed, embedder: str) -> list[dict[str, Any]]:
    """A row a published figure.

    Args:
        facts: what was published (``read_facts``).
        found: its files that are there (``read_outputs``).
        given: whether the configuration names a place for published outputs at all.
        embed: texts to unit vectors, for RQ; called only where there are outputs.
        embedder: name of the sentence-embedding model behind ``embed``.

    Returns:
        ``figure``, ``source``, ``setting``, ``published``, ``recomputed``, ``difference``, ``verdict``, ``reason``.
    """
    rows = []
    for name, setting in facts["settings"].items():
        for figure, printed in setting["figures"].items():
            value, reason = _recompute(facts, name, figure, found, given, embed, embedder)
            difference, verdict = None, UNCHECKED
            if value is not None:
                allowed = ds_tolerance(setting["figures"]) if figure == "ds" else tolerance(printed)
                difference = value - float(printed)
                verdict = HOLDS if within(difference, allowed) else DIFFERS
                reason += f"; tolerance {allowed:.2g}"
            rows.append(
                {
                    "figure": FIGURES[figure][0],
                    "source": facts["source"],
                    "setting": setting["title"],
                    "published": printed,
                    "recomputed": None if value is None else round(value, 6),
                    "difference": None if difference is None else round(difference, 6),
                    "verdict": verdict,
                    "reason": reason,
                }
            )
    return rows
