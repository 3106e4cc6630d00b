"""One style for all figures: colours, sizes, and files that are the same for the same input."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.colors import LinearSegmentedColormap

from lunar.files import atomic_write
from lunar.pages.kinds import Kind, present

ONE_COLUMN, TWO_COLUMNS = 3.2, 6.4  # inches
SMALL = 8  # points, of labels; all else is larger, so that a figure can be read at half its size
GREY = "#595959"  # of notes and lines of reference, dark enough to read

# Okabe and Ito's colour-blind-safe palette, by meaning; markers tell the same apart in greyscale.
SETS = {
    "forget": ("#D55E00", "X", "forget"),
    "retain": ("#0072B2", "o", "retain"),
    "unseen": ("#56B4E9", "^", "unseen"),
    "fictitious": ("#CC79A7", "s", "made-up things"),
    "harmful": ("#4D4D4D", "v", "harmful"),
}
RAMP = LinearSegmentedColormap.from_list(
    "forget", ["#FFFFFF", SETS["forget"][0]]
)  # black text is readable on all of it
# Lines that are no methods and stand for nothing else: colour, marker and dashes.
LINES = [("#0072B2", "v", "-"), ("#AA4499", "P", "--"), ("#3A86B0", "X", "-."), ("#777722", "<", ":")]
LINES += [("#882255", ">", "-"), (GREY, "s", "--")]

plt.rcParams.update(
    {
        "font.size": 9,
        "axes.titlesize": 10,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.formatter.min_exponent": 4,  # 0.001 rather than a power whose exponent is too small to read
        "grid.color": "#E5E5E5",
        "grid.linewidth": 0.6,
        "legend.frameon": False,
        "legend.fontsize": SMALL,
        "figure.constrained_layout.use": True,
        "figure.dpi": 72,  # a pixel is a point, as in SVG and PDF: labels are measured as they are written
        # Text stays text (selectable, small files), and element names do not change from run to run.
        "svg.fonttype": "none",
        "svg.hashsalt": "lunar",
        "pdf.fonttype": 42,
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],
    }
)


def kind_style(kind: Kind) -> dict[str, Any]:
    """Colour and marker of a method's kind, the same in every figure."""
    return {
        "color": kind.colour,
        "marker": kind.marker,
        "markerfacecolor": kind.colour if kind.filled else "white",
        "markeredgecolor": kind.colour,
    }


def key_of_kinds(figure: Any, kinds: Iterable[Kind]) -> None:
    """One line above the panels that says which mark is of which kind; methods have their names beside their marks."""
    shown = present(kinds)
    handles = [plt.Line2D([], [], ls="none", ms=6, label=kind.title, **kind_style(kind)) for kind in shown]
    figure.legend(
        handles=handles, loc="outside upper left", ncols=len(shown), labelcolor=[kind.colour for kind in shown],
        fontsize=9, handletextpad=0.1, columnspacing=1.2, borderaxespad=0.2,
    )  # fmt: skip


def words(axis: Any, named: Iterable[tuple[str, str]]) -> None:
    """Names, each in the colour of what it names, one below the other in the upper left of a panel."""
    for number, (text, colour) in enumerate(named):
        axis.annotate(
            text, (0.02, 0.98), (0, -number * 1.25 * SMALL), "axes fraction", "offset points",
            va="top", fontsize=SMALL, color=colour, weight="bold",
        )  # fmt: skip


def note(axis: Any, text: str) -> None:
    """Words in the middle of a panel that has nothing to show, so that it does not look forgotten."""
    axis.text(0.5, 0.5, text, transform=axis.transAxes, ha="center", va="center")


def save(figure: Any, *paths: str | Path) -> None:
    """Write a figure as SVG or PDF, by the file's ending, without a date in it, whole or not at all."""
    titles = [axis.get_title(loc="left") for axis in figure.axes]
    named = {"Title": "; ".join(dict.fromkeys(filter(None, titles)))}  # what a screen reader says
    for path in map(Path, paths):
        kind = path.suffix[1:]
        undated = {"Date": None} if kind == "svg" else {"CreationDate": None}
        with atomic_write(path) as temporary:
            figure.savefig(temporary, format=kind, metadata=undated | named)
    plt.close(figure)
