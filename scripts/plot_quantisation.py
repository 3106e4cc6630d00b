"""What rounding leaves of each edit, and what comes back, by the edit's size in rounding steps."""

from itertools import product

import matplotlib.pyplot as plt
import pandas as pd

from lunar.attack_tables import survival
from lunar.figures import TWO_COLUMNS, method_style, save, write_numbers
from lunar.files import read_json, write_text
from lunar.progress import script

MARKERS = ["o", "s", "^", "D", "v", "P", "X"]


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} figure quantisation", smk.log[0]):
        pairs = product(smk.params.methods, smk.params.attacks)
        evidence = {pair: read_json(path) for pair, path in zip(pairs, smk.input.evidence, strict=True)}
        points = survival(evidence, pd.read_csv(smk.input.table))
        write_text(smk.output.csv, points.to_csv(index=False, float_format="%.6g"))
        figure, axes = plt.subplots(1, 2, figsize=(TWO_COLUMNS, TWO_COLUMNS * 0.4), sharex=True)
        markers = {attack: MARKERS[number % len(MARKERS)] for number, attack in enumerate(smk.params.attacks)}
        for row in points.to_dict("records"):
            style = {"color": method_style(row["method"])["color"], "marker": markers[row["attack"]], "ms": 5}
            axes[0].plot(row["edit_over_step"], row["survival"], ls="none", **style)
            bars = [[row["regained"] - row["regained_low"]], [row["regained_high"] - row["regained"]]]
            axes[1].errorbar(row["edit_over_step"], row["regained"], yerr=bars, elinewidth=0.7, ls="none", **style)
        axes[0].axhline(1, color="#4D4D4D", ls=":", lw=1)
        axes[1].axhline(0, color="#4D4D4D", ls=":", lw=1)
        axes[0].set(title="What is left of the edit", ylabel="share of the edit that survives", ylim=(0, None))
        axes[1].set(title="What comes back", ylabel="rise of forget ROUGE-1")
        for axis in axes:
            axis.set(xscale="log", xlabel="size of the edit / rounding step")
        colours = [(name, {"color": method_style(name)["color"], "marker": "o"}) for name in smk.params.methods]
        shapes = [(name, {"color": "#4D4D4D", "marker": marker}) for name, marker in markers.items()]
        handles = [plt.Line2D([], [], ls="none", ms=4, label=name, **style) for name, style in colours + shapes]
        figure.legend(handles=handles, loc="outside right center", fontsize=7)
        save(figure, smk.output.figure)
        least = points.loc[points["survival"].idxmin()]
        most = points.loc[points["regained"].idxmax()]
        numbers = {"least": float(least["survival"]), "size": f"{least['edit_over_step']:.2g}"}
        numbers |= {"where": f"{least['method']} under {least['attack']}"}
        numbers |= {
            "regained": f"{most['regained']:+.2f}",
            "regained_where": f"{most['method']} under {most['attack']}",
        }
        write_numbers(smk.output.numbers, numbers)


main(snakemake)  # noqa: F821
