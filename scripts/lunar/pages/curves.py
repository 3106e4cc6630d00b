"""What the figures of attacks show: curves in words, and what rounding leaves of an edit."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from lunar.errors import LunarError
from lunar.pages.attacks import ENDS, Pair, by_pair


def curve_table(points: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """An attack's curve: a column a number, ``x`` and ``forget`` at least; without rows where it has no curve."""
    return pd.DataFrame(points, columns=list(points[0]) if points else ["x", "forget"])


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
                raise LunarError(f"attacks/{method}.jsonl: {attack}: edit.{key} is to be a number, it is {value!r}")
            row[key] = float(value)
        change = "forget_rouge1_vs_unattacked"
        rows.append(row | {f"regained{end}": pairs[method, attack][change + end] for end in ENDS})
    return pd.DataFrame(rows)


def numbers(points: pd.DataFrame) -> dict[str, Any]:
    """What the caption on rounding reads; ``points`` as ``survival`` gives them."""
    least, most = (points.loc[where] for where in (points["survival"].idxmin(), points["regained"].idxmax()))
    found: dict[str, Any] = {"smallest": f"{points['size'].min():.2g}", "largest": f"{points['size'].max():.2g}"}
    for name, row in (("least", least), ("most", most)):
        found |= {f"{name}_where": f"{row['method']} under {row['attack']}", f"{name}_size": f"{row['size']:.2g}"}
    found |= {"least": float(least["survival"]), "most": f"{most['regained']:+.2f}"}
    return found | {"blurred": float(points["cosine"].min())}
