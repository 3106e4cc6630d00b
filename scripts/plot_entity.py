"""The entity edits: what each setting tried in rehearsal left and cost, their singular values, and what they move."""

import matplotlib.pyplot as plt

from lunar.files import read_json
from lunar.pages.entity import draw_tried, first_block, name_tried, numbers, spectra, tried
from lunar.pages.figures import SMALL, TWO_COLUMNS, save
from lunar.pages.kinds import EXACT
from lunar.pages.labels import Named, label_ends
from lunar.pages.numbers import write_numbers
from lunar.progress import script


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} figure entity", smk.log[0]):
        facts = {name: read_json(path) for name, path in zip(smk.params.methods, smk.input.facts, strict=True)}
        paths = dict(zip(smk.params.rehearsed, smk.input.settings, strict=True))
        rows = [row for name, path in paths.items() for row in tried(path, facts[name]["chosen"])]
        first, block, found = first_block(facts)
        figure = plt.figure(figsize=(TWO_COLUMNS, 2.9 + 0.9 + 0.2 * len(rows)))
        grid = figure.add_gridspec(2, 2, height_ratios=(0.9 + 0.2 * len(rows), 2.9))
        left, middle, right = (figure.add_subplot(place) for place in (grid[0, :], grid[1, 0], grid[1, 1]))
        draw_tried(left, rows)
        ends = []
        for one in spectra(facts):
            values, line = one["values"], "-" if one["method"] == first else "--"
            middle.plot(range(1, len(values) + 1), values, lw=0.9, color=EXACT.colour, ls=line)
            if one["label"]:
                text = one["label"].replace(", ", ",\n")
                ends.append(Named(len(values), values[-1], text, EXACT.colour))
        middle.set(xscale="log", yscale="log", title="Singular values", xlabel="index", ylabel="singular value")
        right.barh(range(len(found["moved"])), list(found["moved"].values()), color=EXACT.colour)
        right.set_yticks(range(len(found["moved"])), list(found["moved"]), fontsize=SMALL)
        right.invert_yaxis()
        right.set(title="What moves", xlabel=f"change / stream, block {block}")
        label_ends(middle, ends, lines=2)
        name_tried(left, rows)
        save(figure, smk.output.figure, smk.output.pdf)
        write_numbers(smk.output.numbers, numbers(facts, len(rows)))


main(snakemake)  # noqa: F821
