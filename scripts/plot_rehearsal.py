"""Scores of the settings tried in rehearsal, and how well the paper's layer score foretells the best layer."""

import matplotlib.pyplot as plt

from lunar.files import read_json
from lunar.pages.figures import ONE_COLUMN, TWO_COLUMNS, note, save
from lunar.pages.numbers import write_numbers
from lunar.pages.rehearsal import compared, lines, numbers, scores
from lunar.progress import script

LINES = [
    ("#0072B2", "o", "-"),
    ("#D55E00", "s", "--"),
    ("#009E73", "^", ":"),
    ("#CC79A7", "D", "-."),
    ("#4D4D4D", "v", "-"),
]


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} figure rehearsal", smk.log[0]):
        first, chosen = smk.params.methods[0], read_json(smk.input.layers)
        found = {
            name: scores(path, smk.params.grid_keys)
            for name, path in zip(smk.params.methods, smk.input.settings, strict=True)
        }
        figure, axes = plt.subplots(1, len(found) + 1, figsize=(TWO_COLUMNS, ONE_COLUMN * 0.85))
        for axis, (name, means) in zip(axes, found.items(), strict=False):
            for (label, rows), (colour, marker, line) in zip(lines(means), LINES, strict=False):
                axis.plot(rows["layers"], rows["score"], color=colour, marker=marker, ls=line, ms=4, label=label)
                spared = rows[rows["stopped"]]
                axis.plot(spared["layers"], spared["score"], ls="none", marker=marker, ms=4, mec=colour, mfc="white")
            axis.set(title=f"{name}, rehearsed", xlabel="layer" if name == first else "layers", ylim=(0, None))
            axis.set(ylabel="score (0: best)" if axis is axes[0] else "")
            axis.legend(fontsize=6)
        both = compared(found[first], chosen)
        axes[-1].plot(both["paper"], both["ours"], ls="none", marker="o", color="#4D4D4D")
        for layer, x, y in both.itertuples():
            axes[-1].annotate(layer, (x, y), (4, 3), textcoords="offset points")
        if both.empty:
            note(axes[-1], "no layer was tried alone")
        axes[-1].margins(x=0.2, y=0.15)
        axes[-1].locator_params(axis="x", nbins=4)
        axes[-1].set(title="Does the paper's score tell?", xlabel="layer score under steering", ylim=(0, None))
        save(figure, smk.output.figure, smk.output.pdf)
        write_numbers(smk.output.numbers, numbers(first, found[first], chosen))


main(snakemake)  # noqa: F821
