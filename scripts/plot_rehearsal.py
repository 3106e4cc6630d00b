"""Scores of the settings tried in rehearsal, and how well the paper's layer score foretells the best layer."""

import matplotlib.pyplot as plt

from lunar.files import read_json
from lunar.pages.figures import GREY, LINES, TWO_COLUMNS, note, save
from lunar.pages.labels import Named, label_ends
from lunar.pages.numbers import write_numbers
from lunar.pages.rehearsal import compared, lines, numbers, scores
from lunar.progress import script


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} figure rehearsal", smk.log[0]):
        first, chosen = smk.params.methods[0], read_json(smk.input.layers)
        found = {
            name: scores(path, smk.params.grid_keys)
            for name, path in zip(smk.params.methods, smk.input.settings, strict=True)
        }
        rows = -(-(len(found) + 1) // 2)
        figure, grid = plt.subplots(rows, 2, figsize=(TWO_COLUMNS, 2.5 * rows), squeeze=False)
        axes = list(grid.flat)[: len(found) + 1]
        for axis in list(grid.flat)[len(axes) :]:
            axis.set_axis_off()
        for axis, (name, means) in zip(axes, found.items(), strict=False):
            ends = []
            for (label, tried), (colour, marker, line) in zip(lines(means), LINES, strict=False):
                axis.plot(tried["layers"], tried["score"], color=colour, marker=marker, ls=line, ms=4)
                ends.append(
                    Named(float(axis.convert_xunits(tried["layers"].iloc[-1])), tried["score"].iloc[-1], label, colour)
                )
                spared = tried[tried["stopped"]]
                axis.plot(spared["layers"], spared["score"], ls="none", marker=marker, ms=4, mec=colour, mfc="white")
            axis.set(title=f"{name}, rehearsed", xlabel="layer" if name == first else "layers", ylim=(0, None))
            axis.set(ylabel="score (0: best)" if axis is axes[0] else "")
            label_ends(axis, ends)
        both = compared(found[first], chosen)
        axes[-1].plot(both["paper"], both["ours"], ls="none", marker="o", color=GREY)
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
