"""One style for all figures: colours, sizes, and files that are the same for the same input."""

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.colors import LinearSegmentedColormap

from lunar.files import atomic_write

ONE_COLUMN, TWO_COLUMNS = 3.6, 7.2  # inches

# Okabe and Ito's colour-blind-safe palette, by meaning; markers tell the same apart in greyscale.
SETS = {
    "forget": ("#D55E00", "X", "forget"),
    "retain": ("#0072B2", "o", "retain"),
    "unseen": ("#56B4E9", "^", "unseen"),
    "fictitious": ("#CC79A7", "s", "made-up things"),
    "harmful": ("#4D4D4D", "v", "harmful"),
}
METHODS = {
    "vanilla": ("#4D4D4D", "s"),
    "retain_only": ("#009E73", "D"),
    "lunar": ("#D55E00", "o"),
    "lunar-topk": ("#E69F00", "^"),
    "lunar-entity": ("#44AA99", "v"),
    "lunar-entity-spread": ("#44AA99", "*"),
    "lunar-entity-refusal": ("#44AA99", "^"),
    "lunar-entity-answers": ("#44AA99", "X"),
    "lunar-revert": ("#1B1B1B", "P"),
    "lunar-official": ("#A6761D", "v"),
    "lunar-lora": ("#A6761D", "1"),
    "lunar-replication": ("#999933", "<"),
    "gradient_ascent": ("#0072B2", "P"),
    "gradient_difference": ("#56B4E9", "P"),
    "kl": ("#332288", "X"),
    "dpo": ("#CC79A7", "h"),
    "npo": ("#882255", ">"),
    "simnpo": ("#AA4499", "d"),
    "rmu": ("#117733", "p"),
    "idk": ("#BBBBBB", "8"),
}
RAMP = LinearSegmentedColormap.from_list(
    "forget", ["#FFFFFF", SETS["forget"][0]]
)  # black text is readable on all of it
OTHER_METHODS = [("#0072B2", "v"), ("#CC79A7", "P"), ("#56B4E9", "X"), ("#999933", "<"), ("#882255", ">")]

plt.rcParams.update(
    {
        "font.size": 8,
        "axes.titlesize": 9,
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
        "figure.constrained_layout.use": True,
        # Text stays text (selectable, small files), and element names do not change from run to run.
        "svg.fonttype": "none",
        "svg.hashsalt": "lunar",
        "pdf.fonttype": 42,
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],
    }
)


def method_style(name: str) -> dict[str, Any]:
    """Colour and marker of a method, the same in every figure."""
    known = METHODS.get(name)
    colour, marker = known or OTHER_METHODS[sum(map(ord, name)) % len(OTHER_METHODS)]
    return {"color": colour, "marker": marker}


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
