"""What optimisers reach on one objective, by time and by steps, beside its exact minimum."""

import matplotlib.pyplot as plt
import pandas as pd

from lunar.files import read_json
from lunar.pages.figures import OTHER_METHODS, TWO_COLUMNS, save
from lunar.pages.numbers import write_numbers
from lunar.pages.optimisers import closed_form, numbers, trained
from lunar.progress import script


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} figure optimisers", smk.log[0]):
        runs, facts = pd.read_csv(smk.input.runs), read_json(smk.input.facts)
        figure, axes = plt.subplots(1, 2, figsize=(TWO_COLUMNS, TWO_COLUMNS * 0.45), sharey=True)
        for number, (solver, run) in enumerate(trained(runs).items()):
            colour, marker = OTHER_METHODS[number % len(OTHER_METHODS)]
            for axis, column in zip(axes, ("seconds", "step"), strict=True):
                axis.plot(run[column], run["ratio"], color=colour, marker=marker, ms=3, lw=1, label=solver)
        for axis in axes:
            axis.axhline(1, color="#D55E00", lw=1, label="optimum")
            axis.axhline(facts["unedited"] / facts["optimum"], color="#4D4D4D", ls=":", lw=1, label="no edit")
            axis.set(xscale="log", yscale="log")
            for ticks in (axis.yaxis.set_major_formatter, axis.yaxis.set_minor_formatter):
                ticks("{x:g}")
        for (label, seconds), marker in zip(closed_form(runs).items(), "oD", strict=True):
            axes[0].plot(
                seconds, 1, marker=marker, ms=6, ls="none", color="#D55E00", label=label, clip_on=False, zorder=3
            )
        axes[0].set(title="By time", xlabel="seconds (rows cached)", ylabel="objective / optimum")
        axes[1].set(title="By steps", xlabel="steps")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=7)
        save(figure, smk.output.figure, smk.output.pdf)
        write_numbers(smk.output.numbers, numbers(runs, facts, smk.params.method))


main(snakemake)  # noqa: F821
