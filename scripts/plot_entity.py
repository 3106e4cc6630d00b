"""The entity edits: what each setting tried in rehearsal left and cost, their singular values, and what they move."""

from typing import Any

import matplotlib.pyplot as plt

from lunar.files import read_json
from lunar.pages.entity import first_block, numbers, spectra, tried
from lunar.pages.figures import SETS, SMALL, TWO_COLUMNS, note, save
from lunar.pages.kinds import EXACT
from lunar.pages.labels import Named, label_ends, label_points
from lunar.pages.numbers import write_numbers
from lunar.progress import script


def draw_tried(axis: Any, rows: list[dict[str, Any]]) -> None:
    """A line a setting: recall on the author forgotten and on the one held out; the chosen ones in bold."""
    for part, kind in (("forget", "forget"), ("held_out", "unseen")):
        colour, marker, _ = SETS[kind]
        values = [row[part] for row in rows]
        axis.plot(values, range(len(rows)), ls="none", marker=marker, color=colour, ms=5, clip_on=False)
    axis.set_yticks(range(len(rows)), [row["label"] for row in rows], fontsize=SMALL)
    for tick, row in zip(axis.get_yticklabels(), rows, strict=True):
        tick.set_fontweight("bold" if row["chosen"] else "normal")
    axis.set(title="Tried in rehearsal", xlabel="what is left, ROUGE-1 recall", xlim=(0, 1.05))
    axis.set_ylim(len(rows) - 0.4, -1.6)
    if not rows:
        note(axis, "settings are stated")


def name_tried(axis: Any, rows: list[dict[str, Any]]) -> None:
    """Names at the two marks of the first setting; call it when the layout no longer changes."""
    parts = (("forget", "the forgotten author", SETS["forget"][0]), ("held_out", "the one held out", "#3A86B0"))
    label_points(
        axis,
        [
            Named(row[part], number, "" if number else label, colour)
            for part, label, colour in parts
            for number, row in enumerate(rows)
        ],
    )


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
