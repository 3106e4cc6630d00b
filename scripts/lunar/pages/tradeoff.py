"""The figure of forgetting against retention: points with intervals, their names, and the text on hovering."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.patches import ConnectionPatch, Rectangle

from lunar.pages.figures import GREY, TWO_COLUMNS, key_of_kinds, kind_style
from lunar.pages.kinds import Kind
from lunar.pages.labels import Named, label_points

OTHERS = {"retain": "the retain set", "unseen": "unseen authors"}  # what is kept, a row of panels each
FORGOTTEN, KEPT = 0.3, 0.8  # the corner that is enlarged: at most so much of the forget set, at least so much kept
CROWD = 3  # points in the corner, from which on it is enlarged


def shown(value: float, low: float, high: float) -> str:
    """A number with its interval, for the text that hovering over a point shows."""
    return f"{value:.2f} [{low:.2f}, {high:.2f}]"


def points(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The points of all panels, a method's after another's.

    Args:
        table: tables/main.csv, as ``lunar.pages.main_table.wide`` makes it.

    Returns:
        ``method``, ``other`` (the kept set, of ``OTHERS``), ``x`` and ``y`` (ROUGE-1 recall on the forget set and on
        the other), ``xerr`` and ``yerr`` (below and above, as matplotlib's ``errorbar`` takes them), ``id`` and
        ``title``. A method that was not asked about a set has no point in its panel.
    """
    found = []
    for number, row in enumerate(table.to_dict("records"), start=1):
        for other in OTHERS:
            cells = [[row.get(f"{split}_rouge1{end}") for end in ("", "_low", "_high")] for split in ("forget", other)]
            if any(pd.isna(value) for cell in cells for value in cell):
                continue
            x, y = cells
            bars = [[[value - low], [high - value]] for value, low, high in cells]
            found.append(
                {
                    "method": row["method"],
                    "other": other,
                    "x": x[0],
                    "y": y[0],
                    "xerr": bars[0],
                    "yerr": bars[1],
                    "id": f"point-{other}-{number}",
                    "title": f"{row['method']}: forget {shown(*x)}, {other} {shown(*y)}, DS {row['ds']:.1f}",
                }
            )
    return found


def numbers(table: pd.DataFrame) -> dict[str, Any]:
    """What the caption reads: the method of the lowest DS, and its DS."""
    best = table.loc[table["ds"].idxmin()]
    return {"best": best["method"], "best_ds": float(best["ds"])}


def in_corner(one: Mapping[str, Any]) -> bool:
    """Whether a point lies in the corner of those that forget much and keep much."""
    return one["x"] <= FORGOTTEN and one["y"] >= KEPT


def _mark(axis: Any, found: Sequence[Mapping[str, Any]], kinds: Mapping[str, Kind], named: bool) -> None:
    for one in found:
        style = kind_style(kinds[one["method"]])
        drawn = axis.errorbar(
            one["x"], one["y"], xerr=one["xerr"], yerr=one["yerr"], lw=0.6, ms=6, ls="none", **style,
        )  # fmt: skip
        for bar in drawn.lines[2]:
            bar.set_alpha(0.35)
        if named:
            drawn.lines[0].set_gid(one["id"])


def _write(axis: Any, found: Sequence[Mapping[str, Any]], kinds: Mapping[str, Kind], without: Sequence[str]) -> None:
    label_points(
        axis,
        [
            Named(one["x"], one["y"], "" if one["method"] in without else one["method"], kinds[one["method"]].colour)
            for one in found
        ],
    )


def _enlarge(whole: Any, corner: Any, inside: Sequence[Mapping[str, Any]]) -> None:
    """Limits of the corner's panel, its frame in the panel of the whole, and lines from the one to the other."""
    left, right = -0.02, max(FORGOTTEN, *(one["x"] for one in inside)) + 0.04
    low, high = min(one["y"] for one in inside) - 0.025, 1.025
    corner.set(xlim=(left, right), ylim=(low, high))
    whole.add_patch(Rectangle((left, low), right - left, high - low, fill=False, ec=GREY, lw=0.8))
    for side in (low, high):
        line = ConnectionPatch(
            (right, side), (0, 0 if side == low else 1), "data", "axes fraction", axesA=whole, axesB=corner,
            color="#BBBBBB", lw=0.6, zorder=0.5,
        )  # fmt: skip
        line.set_in_layout(False)
        whole.add_artist(line)


def draw(found: Sequence[Mapping[str, Any]], kinds: Mapping[str, Kind]) -> Any:
    """The figure: for each kept set all methods, and beside them the crowded corner enlarged.

    Args:
        found: as ``points`` gives them.
        kinds: of each method.

    Returns:
        matplotlib's figure; each method's mark has its ``id`` where it is named.
    """
    rows = [other for other in OTHERS if any(one["other"] == other for one in found)]
    figure = plt.figure(figsize=(TWO_COLUMNS, 0.4 + 2.8 * len(rows)))
    grid = figure.add_gridspec(len(rows), 2, width_ratios=(0.44, 0.56))
    key_of_kinds(figure, [kinds[one["method"]] for one in found])
    panels = []
    for number, other in enumerate(rows):
        here = [one for one in found if one["other"] == other]
        inside = [one for one in here if in_corner(one)]
        inside = inside if len(inside) >= CROWD else []
        whole = figure.add_subplot(grid[number, 0] if inside else grid[number, :])
        outside = [one for one in here if one not in inside]
        floor = max(0.0, min(one["y"] for one in here) // 0.1 * 0.1 - 0.1)
        whole.set(xlim=(-0.04, 1.04), ylim=(floor - 0.02, 1.04), title=f"Forgetting and {OTHERS[other]}")
        whole.set(xlabel="forget set, ROUGE-1 recall", ylabel=f"{OTHERS[other]}, ROUGE-1 recall")
        _mark(whole, outside, kinds, named=True)
        _mark(whole, inside, kinds, named=False)
        panels.append((whole, here, [one["method"] for one in inside]))
        if inside:
            corner = figure.add_subplot(grid[number, 1])
            corner.set(title="The corner, enlarged", xlabel="forget set, ROUGE-1 recall")
            _enlarge(whole, corner, inside)
            _mark(corner, inside, kinds, named=True)
            panels.append((corner, inside, []))
    figure.draw_without_rendering()
    for panel, marked, without in panels:
        _write(panel, marked, kinds, without)
    return figure
