"""What each rung of the ladder does to DS, and to ROUGE-1 on what is forgotten and kept."""

import matplotlib.pyplot as plt
import pandas as pd

from lunar.pages.figures import TWO_COLUMNS, save
from lunar.progress import script


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} figure ladder", smk.log[0]):
        table = pd.read_csv(smk.input.table)
        height = table["rung"].to_list().index(smk.params.top) + 1
        # What changes one factor at the top stands apart.
        places = [place + (0.6 if place >= height else 0) for place in range(len(table))]
        colours = ["#0072B2" if place < height else "#BBBBBB" for place in range(len(table))]
        figure, (left, right) = plt.subplots(1, 2, figsize=(TWO_COLUMNS, 0.24 * len(table) + 1.0), sharey=True)
        left.barh(places, table["ds"], color=colours)
        bars = [table["ds"] - table["ds_low"], table["ds_high"] - table["ds"]]
        left.errorbar(table["ds"], places, xerr=bars, ls="none", color="#4D4D4D", lw=0.8, capsize=2)
        left.set_yticks(places, table["rung"])
        left.invert_yaxis()
        left.set(title="DS (0: best)", xlabel="DS, with 95% interval", xlim=(0, None))
        for key, marker, colour in (("forget", "X", "#D55E00"), ("retain", "o", "#0072B2"), ("unseen", "^", "#56B4E9")):
            right.plot(table[key], places, marker=marker, color=colour, ls="none", ms=5, label=key)
        right.set(title="ROUGE-1 recall", xlabel="forget: low is better; others: high", xlim=(-0.03, 1.03))
        right.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=3)
        for axis in (left, right):
            axis.grid(axis="y", visible=False)
        save(figure, smk.output.figure, smk.output.pdf)


main(snakemake)  # noqa: F821
