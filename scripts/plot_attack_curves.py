"""Curves of one kind of attack, a line a method with its name at its end; the model that never knew is dashed."""

import matplotlib.pyplot as plt

from lunar.metrics.read import read_attacks
from lunar.pages.curves import curve_table, curves_in_words
from lunar.pages.figures import TWO_COLUMNS, key_of_kinds, kind_style, note, save
from lunar.pages.kinds import dashes, kinds
from lunar.pages.labels import Named, label_ends
from lunar.pages.names import CONTROL
from lunar.pages.numbers import write_numbers
from lunar.progress import script

NONE = "no curve was asked for,\nor the attack was left out"
AXES = {
    "relearning": ("step", "forget ROUGE-1 recall"),
    "layer_skip": ("block skipped", "forget ROUGE-1 recall"),
    "sampling": ("answers drawn (k)", "best forget ROUGE-1 of k"),
    "logit_lens": ("block read out", "gold tokens ranked first"),
}


def main(smk) -> None:
    kind = smk.wildcards.curve
    with script(f"{smk.wildcards.experiment} figure {kind}", smk.log[0]):
        attacks, methods = smk.params.attacks, smk.params.methods
        curves = {}
        for name, path in zip(methods, smk.input.attacked, strict=True):
            records = read_attacks(path, smk.params.run)
            curves |= {(name, one): curve_table(records[one]["curve"] if one in records else []) for one in attacks}
        kind_of = kinds(smk.params.recipes)
        lines = dashes(kind_of) | {CONTROL: "--"}
        columns = min(2, len(attacks))
        rows = -(-len(attacks) // columns)
        figure, axes = plt.subplots(rows, columns, figsize=(TWO_COLUMNS, 0.4 + 2.6 * rows), sharey=True, squeeze=False)
        key_of_kinds(figure, kind_of.values())
        across, up = AXES[kind]
        for axis in axes.flat[len(attacks) :]:
            axis.set_axis_off()
        for axis, attack in zip(axes.flat, attacks, strict=False):
            shown = {name: curves[name, attack] for name in methods if not curves[name, attack].empty}
            for method, curve in shown.items():
                axis.plot(
                    curve["x"], curve["forget"], ms=4, lw=1, **kind_style(kind_of[method]) | {"ls": lines[method]}
                )
            if not shown:
                note(axis, NONE)
            axis.set(title=attack, xlabel=across, ylim=(-0.03, 1.03))
            if kind == "sampling":
                axis.set_xscale("log", base=2)
                axis.xaxis.set_major_formatter("{x:g}")
            ends = {method: curve.iloc[-1] for method, curve in shown.items()}
            label_ends(axis, [Named(row["x"], row["forget"], m, kind_of[m].colour) for m, row in ends.items()])
        for axis in axes[:, 0]:
            axis.set_ylabel(up)
        save(figure, smk.output.figure, smk.output.pdf)
        write_numbers(smk.output.numbers, {"said": curves_in_words(curves, kind) or NONE})


main(snakemake)  # noqa: F821
