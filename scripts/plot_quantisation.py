"""What rounding leaves of each edit, and what comes back, by the edit's size in rounding steps."""

import matplotlib.pyplot as plt
import pandas as pd

from lunar.files import write_text
from lunar.metrics.read import read_attacks
from lunar.pages.curves import numbers, survival
from lunar.pages.figures import GREY, TWO_COLUMNS, key_of_kinds, save
from lunar.pages.kinds import kinds
from lunar.pages.labels import Named, label_points, unnamed
from lunar.pages.numbers import write_numbers
from lunar.progress import script

NAMED = 4  # points of the last panel that say which method they are of, those of which most comes back
MARKERS = ["o", "s", "^", "D", "v", "P", "X"]


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} figure quantisation", smk.log[0]):
        records = dict(zip(smk.params.attacked, smk.input.attacked, strict=True))
        records = {name: read_attacks(records[name], smk.params.run) for name in smk.params.methods}
        shown = [(name, one) for name in records for one in smk.params.attacks if one in records[name]]
        evidence = {(name, one): records[name][one]["evidence"] for name, one in shown}
        points = survival(evidence, pd.read_csv(smk.input.table))
        write_text(smk.output.csv, points.to_csv(index=False, float_format="%.6g"))
        figure, axes = plt.subplots(1, 3, figsize=(TWO_COLUMNS * 1.15, 3.8), sharex=True)
        kind_of = kinds(smk.params.recipes)
        key_of_kinds(figure, kind_of.values())
        markers = {attack: MARKERS[number % len(MARKERS)] for number, attack in enumerate(smk.params.attacks)}
        for row in points.to_dict("records"):
            style = {"color": kind_of[row["method"]].colour, "marker": markers[row["attack"]], "ms": 5, "ls": "none"}
            for axis, key in zip(axes, ("survival", "cosine"), strict=False):
                axis.plot(row["size"], row[key], **style)
            bars = [[row["regained"] - row["regained_low"]], [row["regained_high"] - row["regained"]]]
            axes[2].errorbar(row["size"], row["regained"], yerr=bars, elinewidth=0.7, **style)
        for axis, at in zip(axes, (1, 1, 0), strict=True):
            axis.axhline(at, color=GREY, ls=":", lw=1)
            axis.set(xscale="log", xlabel="edit / rounding step")
        axes[0].set(title="Is the edit left?", ylabel="share of it that is left")
        axes[0].set_ylim(-0.06, 1.05 * max(1, points["survival"].max()))
        axes[1].set(title="Is it still the edit?", ylabel="cosine of what is left to it", ylim=(-0.06, 1.05))
        axes[2].set(title="What comes back?", ylabel="rise of forget ROUGE-1")
        of_attacks = {"ls": "none", "ms": 4, "color": GREY}
        handles = [plt.Line2D([], [], label=name, marker=marker, **of_attacks) for name, marker in markers.items()]
        figure.legend(handles=handles, loc="outside lower center", ncols=5)
        axes[2].margins(x=0.25, y=0.2)
        told = points.nlargest(NAMED, "regained")
        others = points.drop(told.index)
        named = [
            Named(row["size"], row["regained"], row["method"], kind_of[row["method"]].colour)
            for row in told.to_dict("records")
        ]
        label_points(axes[2], named + unnamed(others["size"], others["regained"]))
        save(figure, smk.output.figure, smk.output.pdf)
        write_numbers(smk.output.numbers, numbers(points))


main(snakemake)  # noqa: F821
