"""Curves of one kind of attack, a line a method; the model that never knew is dashed."""

import matplotlib.pyplot as plt

from lunar.metrics.read import read_attacks
from lunar.pages.curves import curve_table, curves_in_words
from lunar.pages.figures import TWO_COLUMNS, method_style, save
from lunar.pages.names import CONTROL
from lunar.pages.numbers import write_numbers
from lunar.progress import script

NONE = "no curve was asked for, or the attack was left out"
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
        figure, axes = plt.subplots(
            1, len(attacks), figsize=(TWO_COLUMNS, TWO_COLUMNS * 0.4), sharey=True, squeeze=False
        )
        across, up = AXES[kind]
        for axis, attack in zip(axes[0], attacks, strict=True):
            for method in methods:
                curve = curves[method, attack]
                line = "--" if method == CONTROL else "-"
                axis.plot(curve["x"], curve["forget"], ls=line, ms=3, lw=1, label=method, **method_style(method))
            if all(curves[name, attack].empty for name in methods):
                axis.text(0.5, 0.5, NONE, ha="center", transform=axis.transAxes)
            axis.set(title=attack, xlabel=across, ylim=(-0.03, 1.03))
            if kind == "sampling":
                axis.set_xscale("log", base=2)
                axis.xaxis.set_major_formatter("{x:g}")
        axes[0, 0].set_ylabel(up)
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside right center", fontsize=7)
        save(figure, smk.output.figure, smk.output.pdf)
        write_numbers(smk.output.numbers, {"said": curves_in_words(curves, kind) or NONE})


main(snakemake)  # noqa: F821
