"""What optimisers reach on one objective, by time and by steps, beside its exact minimum."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from lunar.files import read_json
from lunar.pages.figures import GREY, LINES, TWO_COLUMNS, save
from lunar.pages.kinds import EXACT
from lunar.pages.labels import Named, label_ends, label_points, unnamed
from lunar.pages.numbers import write_numbers
from lunar.pages.optimisers import closed_form, numbers, trained
from lunar.progress import script


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} figure optimisers", smk.log[0]):
        runs, facts = pd.read_csv(smk.input.runs), read_json(smk.input.facts)
        figure, axes = plt.subplots(2, 1, figsize=(TWO_COLUMNS, 5), sharey=True)
        edges, closed = ({"seconds": [], "step": []} for _ in range(2))
        for number, (solver, run) in enumerate(trained(runs).items()):
            colour, marker, dashes = LINES[number % len(LINES)]
            for axis, column in zip(axes, edges, strict=True):
                axis.plot(run[column], run["ratio"], color=colour, marker=marker, ls=dashes, ms=3, lw=1)
                edges[column].append(Named(run[column].iloc[-1], run["ratio"].iloc[-1], solver, colour))
        for axis, column in zip(axes, edges, strict=True):
            last = max(one.x for one in edges[column])
            for value, text, line in ((1, "optimum", "-"), (facts["unedited"] / facts["optimum"], "no edit", ":")):
                colour = EXACT.colour if value == 1 else GREY
                axis.axhline(value, color=colour, ls=line, lw=1)
                edges[column].append(Named(last, value, text, colour))
            axis.set(xscale="log", yscale="log", ylabel="objective / optimum")
            for ticks in (axis.yaxis.set_major_formatter, axis.yaxis.set_minor_formatter):
                ticks("{x:g}")
        for (label, seconds), marker in zip(closed_form(runs).items(), "oD", strict=True):
            axes[0].plot(seconds, 1, marker=marker, ms=6, ls="none", color=EXACT.colour, clip_on=False, zorder=3)
            closed["seconds"].append(Named(seconds, 1, label, EXACT.colour))
        # No name lies on the line of the optimum.
        closed["seconds"] += unnamed(np.geomspace(*axes[0].get_xlim(), 60), [1] * 60)
        axes[0].set(title="By time", xlabel="seconds (rows cached)")
        axes[1].set(title="By steps", xlabel="steps")
        for axis, column in zip(axes, edges, strict=True):
            axis.set_ylim(bottom=0.85)
            label_ends(axis, edges[column])
            label_points(axis, closed[column])
        save(figure, smk.output.figure, smk.output.pdf)
        write_numbers(smk.output.numbers, numbers(runs, facts, smk.params.method))


main(snakemake)  # noqa: F821
