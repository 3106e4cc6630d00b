"""Names beside what they name: labels of points and of the ends of lines, none of which covers another.

Places are found by the boxes that texts and marks take on the page, in points; the same figure gets the same places.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.text import Annotation, Text

from lunar.pages.figures import SMALL

DISTANCES = (5, 8, 12, 17, 23, 30, 38, 47, 57, 68, 80, 95, 115)  # points from a mark to its label
ANGLES = np.deg2rad(np.arange(0, 360, 15))
LEADER = 10  # points from where on a line leads to the mark
ROUNDS = 4
BEST = 40  # places of a label that are looked at closely


class Named(NamedTuple):
    """A point of a panel with its name.

    Attributes:
        x, y: in data units.
        text: the name.
        colour: of the name.
    """

    x: float
    y: float
    text: str
    colour: str


def unnamed(x: Iterable[float], y: Iterable[float]) -> list[Named]:
    """Points that have no name and take room all the same."""
    return [Named(float(a), float(b), "", "") for a, b in zip(x, y, strict=True)]


def spread(places: Sequence[float], gap: float, least: float, most: float) -> list[float]:
    """Places as near to the wanted ones as lets neighbours be a gap apart, in the same order.

    Args:
        places: the wanted ones, in any order.
        gap: between neighbours, at least.
        least, most: ends between which all lie, if there is room.

    Returns:
        A place for each wanted one.
    """
    order = sorted(range(len(places)), key=lambda i: places[i])
    blocks: list[list[float]] = []  # mean of wanted places less their number times the gap, and how many
    for number, i in enumerate(order):
        blocks.append([places[i] - number * gap, 1.0])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (a, m), (b, n) = blocks[-2:]
            blocks[-2:] = [[(a * m + b * n) / (m + n), m + n]]
    level = [mean for mean, count in blocks for _ in range(int(count))]
    top = most - (len(places) - 1) * gap
    found = [0.0] * len(places)
    for number, i in enumerate(order):
        found[i] = max(min(level[number], top), least) + number * gap
    return found


def label_ends(axis: Any, ends: Sequence[Named], lines: int = 1) -> list[Annotation]:
    """Write the names of lines to the right of a panel, each as near to its line's end as others let it.

    Call it when limits and scales of the panel are set; ``lines`` is the number of lines of text in a name.
    """
    height = 1.25 * SMALL * lines
    figure = axis.figure
    figure.draw_without_rendering()
    box = axis.get_window_extent()
    wanted = [float(axis.transData.transform((one.x, one.y))[1]) for one in ends]
    found = []
    for one, at in zip(ends, spread(wanted, height, box.y0, box.y1), strict=True):
        label = axis.annotate(
            one.text, (one.x, one.y), (1.05, (at - box.y0) / box.height), textcoords="axes fraction", va="center",
            fontsize=SMALL, color=one.colour, annotation_clip=False,
            arrowprops={"arrowstyle": "-", "lw": 0.5, "color": one.colour, "shrinkA": 0, "shrinkB": 1},
        )  # fmt: skip
        found.append(label)
    return found


def _places(at: np.ndarray, size: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Where a label of a size may lie beside a mark (left, low, right, high a row), and what each place costs."""
    distance, angle = (grid.ravel() for grid in np.meshgrid(DISTANCES, ANGLES, indexing="ij"))
    dx, dy = np.cos(angle), np.sin(angle)
    x, y = at[0] + distance * dx, at[1] + distance * dy
    width, height = size
    left = np.select([dx > 0.3, dx < -0.3], [x, x - width], x - width / 2)
    low = np.select([abs(dy) < 0.8, dy > 0], [y - height / 2, y], y - height)
    # To the right and on the mark's own height is where a reader looks first.
    cost = distance + 3 * abs(dy) + np.where(dx < -0.3, 1.5, 0)
    return np.stack([left, low, left + width, low + height], axis=1), cost


def shared(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The area that boxes share, each of the first with each of the second; a box is left, low, right, high."""
    one, other = one[:, None], other[None]
    sides = np.minimum(one[..., 2:], other[..., 2:]) - np.maximum(one[..., :2], other[..., :2])
    return np.clip(sides, 0, None).prod(axis=-1)


def nearest(box: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The point of a box that is nearest to another point."""
    return np.clip(at, box[:2], box[2:])


def crossed(start: np.ndarray, end: np.ndarray, box: np.ndarray) -> bool:
    """Whether a line from one point to another passes through a box (Liang and Barsky's way)."""
    enters, leaves = 0.0, 1.0
    for first, last, least, most in zip(start, end, box[:2], box[2:], strict=True):
        step = last - first
        if step == 0:
            if not least < first < most:
                return False
            continue
        ends = sorted(((least - first) / step, (most - first) / step))
        enters, leaves = max(enters, ends[0]), min(leaves, ends[1])
    return bool(enters < leaves)


def _meet(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> bool:
    """Whether the line from a to b and that from c to d cross."""

    def side(one: np.ndarray, other: np.ndarray, point: np.ndarray) -> float:
        along, away = other - one, point - one
        return float(along[0] * away[1] - along[1] * away[0])

    return side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0


def places(at: np.ndarray, sizes: Mapping[int, tuple[float, float]], panel: np.ndarray, mark: float) -> dict[int, Any]:
    """Where labels lie: near their marks, on no mark and on no other label, nearer to their own mark than to others.

    Args:
        at: marks, a row of x and y each, in points.
        sizes: width and height of the label of each named mark, by its row.
        panel: the box that labels stay in.
        mark: width of a mark.

    Returns:
        A box (left, low, right, high) by row; the same for the same input.
    """
    marks = np.concatenate([at - mark / 2, at + mark / 2], axis=1)
    # What lies where most others are chooses first.
    crowd = {i: (np.hypot(*(at - at[i]).T) < 60).sum() for i in sizes}
    placed: dict[int, np.ndarray] = {}
    for _ in range(ROUNDS):
        for i in sorted(sizes, key=lambda i: (-crowd[i], i)):
            boxes, costs = _places(at[i], sizes[i])
            others = {j: box for j, box in placed.items() if j != i}
            obstacles = np.concatenate([marks, *(box[None] for box in others.values())])
            outside = sizes[i][0] * sizes[i][1] - shared(boxes, panel[None])[:, 0]
            costs = costs + 20 * (outside + shared(boxes, obstacles).sum(axis=1))
            lines = [(at[j], nearest(box, at[j])) for j, box in others.items()]
            near = np.argsort(costs, kind="stable")[:BEST]
            for number in near:
                box, end = boxes[number], nearest(boxes[number], at[i])
                through = sum(crossed(at[i], end, other) for other in others.values())
                through += sum(crossed(*line, box) or _meet(at[i], end, *line) for line in lines)
                through += sum(crossed(at[i], end, other) for j, other in enumerate(marks) if j != i)
                own = np.hypot(*(end - at[i]))
                away = np.hypot(*(np.clip(at, box[:2], box[2:]) - at).T)
                costs[number] += 40 * through + 12 * (np.delete(away, i) < own + 2).sum()
            placed[i] = boxes[near[np.argmin(costs[near])]]
    return placed


def label_points(axis: Any, points: Sequence[Named], mark: float = 7.0) -> list[Text]:
    """Write the names of points beside them, inside the panel; a thin line leads from a name that lies further off.

    Call it when limits of the panel are set and the layout of the figure no longer changes.

    Args:
        axis: the panel.
        points: named points; a point without a name takes room all the same.
        mark: width of a point's mark, in points.

    Returns:
        The labels that were written, in the order of the points that have a name.
    """
    if not points:
        return []
    axis.figure.draw_without_rendering()
    at = axis.transData.transform([(one.x, one.y) for one in points])
    sizes = {}
    for i, one in enumerate(points):
        if one.text:
            probe = axis.text(0, 0, one.text, fontsize=SMALL)
            box = probe.get_window_extent()
            sizes[i] = (box.width + 1, box.height)
            probe.remove()
    to_axes = axis.transAxes.inverted().transform
    found = []
    for i, box in sorted(places(at, sizes, np.array(axis.get_window_extent().extents), mark).items()):
        one, end = points[i], nearest(box, at[i])
        label = axis.text(
            *to_axes(box[:2]), one.text, transform=axis.transAxes, fontsize=SMALL, color=one.colour, va="bottom"
        )
        label.set_in_layout(False)
        found.append(label)
        if np.hypot(*(end - at[i])) > LEADER:
            arrow = {"arrowstyle": "-", "lw": 0.6, "color": one.colour, "shrinkA": 0, "shrinkB": mark / 2}
            line = axis.annotate("", (one.x, one.y), to_axes(end), textcoords="axes fraction", arrowprops=arrow)
            line.set_in_layout(False)
    return found
