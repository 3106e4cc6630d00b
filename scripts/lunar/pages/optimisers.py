"""What the figure of optimisers shows: how near each comes to the optimum, how fast, and its caption's numbers."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

CLOSED = ["closed form, solve only", "closed form"]


def times(ratio: float) -> str:
    """A ratio of times in words."""
    return f"{ratio:.0f} times" if ratio >= 10 else f"{ratio:.1f} times"


def duration(seconds: float) -> str:
    """A time with the unit that suits it."""
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.3f} s" if seconds < 1 else f"{seconds:.1f} s"


def closed_form(runs: pd.DataFrame) -> dict[str, float]:
    """Seconds of the closed form, by the names in ``CLOSED``: the solve alone, and with the sums."""
    return {name: float(runs.loc[runs["solver"] == name, "seconds"].iloc[0]) for name in CLOSED}


def trained(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The curve of each optimiser, in the table's order, with the ``ratio`` of its objective to the optimum.

    Args:
        runs: what ``scripts/race.py`` writes: ``solver``, ``step``, ``seconds``, ``objective`` and ``optimum``.
    """
    runs = runs.assign(ratio=runs["objective"] / runs["optimum"])
    return {name: runs[runs["solver"] == name] for name in dict.fromkeys(runs["solver"]) if name not in CLOSED}


def reached(solver: str, last: Mapping[str, Any], alone: float, whole: float) -> str:
    """Where an optimiser ends, in words.

    Args:
        solver: its name.
        last: ``ratio`` and ``seconds`` at the end of its curve.
        alone, whole: seconds of the solve alone, and with the sums.
    """
    slower = f"{times(last['seconds'] / alone)} the solve, {times(last['seconds'] / whole)} with the sums"
    return f"{solver} ends at {last['ratio']:.3f} of the optimum after {duration(last['seconds'])} ({slower})"


def numbers(runs: pd.DataFrame, facts: Mapping[str, Any], method: str) -> dict[str, Any]:
    """What the caption reads.

    Args:
        runs: as for ``trained``.
        facts: what ``scripts/race.py`` writes beside them.
        method: whose objective is minimised.
    """
    alone, whole = closed_form(runs).values()
    ends = [reached(solver, curve.iloc[-1], alone, whole) for solver, curve in trained(runs).items()]
    uncached, caching = facts["uncached"], facts["seconds"]["caching"]
    return {
        **{key: facts[key] for key in ("layer", "rows", "width", "threads")},
        "alone": duration(alone),
        "whole": duration(whole),
        "runs": "; ".join(ends),
        "method": method,
        "noedit": f"{facts['unedited'] / facts['optimum']:.2f}",
        **{key: uncached[key] for key in ("epochs", "prompts", "steps")},
        "step": duration(uncached["step_seconds"]),
        "extrapolated": duration(uncached["seconds"]),
        "caching": duration(caching),
        "slower": times(uncached["seconds"] / (caching + whole)),
    }
