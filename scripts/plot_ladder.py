"""What each rung of the ladder does to DS, and to ROUGE-1 on what is forgotten and kept."""

import matplotlib.pyplot as plt
import pandas as pd

from lunar.pages.figures import GREY, TWO_COLUMNS, save
from lunar.pages.labels import Named, label_points
from lunar.progress import script


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} figure ladder", smk.log[0]):
        table = pd.read_csv(smk.input.table)
        height = table["rung"].to_list().index(smk.params.top) + 1
        # What changes one factor at the top stands apart.
        places = [place + (0.6 if place >= height else 0) for place in range(len(table))]
        colours = ["#0072B2" if place < height else "#BBBBBB" for place in range(len(table))]
        figure, (left, right) = plt.subplots(1, 2, figsize=(TWO_COLUMNS, 0.27 * len(table) + 1.2), sharey=True)
        left.barh(places, table["ds"], color=colours)
        bars = [table["ds"] - table["ds_low"], table["ds_high"] - table["ds"]]
        left.errorbar(table["ds"], places, xerr=bars, ls="none", color=GREY, lw=0.8, capsize=2)
        left.set_yticks(places, table["rung"])
        left.invert_yaxis()
        left.set(title="DS (0: best)", xlabel="DS, with 95% interval", xlim=(0, None))
        named = []
        for key, marker, colour in (("forget", "X", "#C05000"), ("retain", "o", "#0068A8"), ("unseen", "^", "#3A86B0")):
            right.plot(table[key], places, marker=marker, color=colour, ls="none", ms=5)
            marks = zip(table[key], places, strict=True)
            named += [Named(x, y, "" if number else key, colour) for number, (x, y) in enumerate(marks)]
        right.set(title="ROUGE-1 recall", xlabel="forget: low is better; others: high", xlim=(-0.03, 1.03))
        right.set_ylim(top=-1.6)  # room for names above the first row
        for axis in (left, right):
            axis.grid(axis="y", visible=False)
        label_points(right, named)
        save(figure, smk.output.figure, smk.output.pdf)


main(snakemake)  # noqa: F821
