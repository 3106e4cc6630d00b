"""What optimisers reach on one objective, by time and by steps, beside its exact minimum."""

import matplotlib.pyplot as plt
import pandas as pd

from lunar.files import read_json
from lunar.pages.figures import OTHER_METHODS, TWO_COLUMNS, save
from lunar.pages.numbers import write_numbers
from lunar.progress import script

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


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} figure optimisers", smk.log[0]):
        runs, facts = pd.read_csv(smk.input.runs), read_json(smk.input.facts)
        runs["ratio"] = runs["objective"] / runs["optimum"]
        alone, whole = (float(runs.loc[runs["solver"] == name, "seconds"].iloc[0]) for name in CLOSED)
        figure, axes = plt.subplots(1, 2, figsize=(TWO_COLUMNS, TWO_COLUMNS * 0.45), sharey=True)
        said = []
        for number, solver in enumerate(dict.fromkeys(runs["solver"])):
            if solver in CLOSED:
                continue
            run = runs[runs["solver"] == solver]
            colour, marker = OTHER_METHODS[(number - len(CLOSED)) % len(OTHER_METHODS)]
            for axis, column in zip(axes, ("seconds", "step"), strict=True):
                axis.plot(run[column], run["ratio"], color=colour, marker=marker, ms=3, lw=1, label=solver)
            last = run.iloc[-1]
            slower = f"{times(last['seconds'] / alone)} the solve, {times(last['seconds'] / whole)} with the sums"
            said.append(
                f"{solver} ends at {last['ratio']:.3f} of the optimum after {duration(last['seconds'])} ({slower})"
            )
        for axis in axes:
            axis.axhline(1, color="#D55E00", lw=1, label="optimum")
            axis.axhline(facts["unedited"] / facts["optimum"], color="#4D4D4D", ls=":", lw=1, label="no edit")
            axis.set(xscale="log", yscale="log")
            for ticks in (axis.yaxis.set_major_formatter, axis.yaxis.set_minor_formatter):
                ticks("{x:g}")
        for seconds, marker, label in ((alone, "o", CLOSED[0]), (whole, "D", CLOSED[1])):
            axes[0].plot(
                seconds, 1, marker=marker, ms=6, ls="none", color="#D55E00", label=label, clip_on=False, zorder=3
            )
        axes[0].set(title="By time", xlabel="seconds (rows cached)", ylabel="objective / optimum")
        axes[1].set(title="By steps", xlabel="steps")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=7)
        save(figure, smk.output.figure, smk.output.pdf)
        uncached = facts["uncached"]
        numbers = {key: facts[key] for key in ("layer", "rows", "width", "threads")}
        numbers |= {"alone": duration(alone), "whole": duration(whole), "runs": "; ".join(said)}
        numbers |= {"method": smk.params.method, "noedit": f"{facts['unedited'] / facts['optimum']:.2f}"}
        numbers |= {key: uncached[key] for key in ("epochs", "prompts", "steps")}
        numbers |= {"step": duration(uncached["step_seconds"]), "extrapolated": duration(uncached["seconds"])}
        caching = facts["seconds"]["caching"]
        numbers |= {"caching": duration(caching), "slower": times(uncached["seconds"] / (caching + whole))}
        write_numbers(smk.output.numbers, numbers)


main(snakemake)  # noqa: F821
