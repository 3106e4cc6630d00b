"""The entity edits: what each setting tried in rehearsal left and cost, their singular values, and what they move."""

from typing import Any

import matplotlib.pyplot as plt

from lunar.files import read_json
from lunar.pages.entity import first_block, numbers, spectra, tried
from lunar.pages.figures import ONE_COLUMN, SETS, TWO_COLUMNS, method_style, note, save
from lunar.pages.numbers import write_numbers
from lunar.progress import script


def draw_tried(axis: Any, rows: list[dict[str, Any]]) -> None:
    """A line a setting: recall on the author forgotten and on the one held out; the chosen ones in bold."""
    for part, kind, label in (("forget", "forget", "the forgotten author"), ("held_out", "unseen", "the one held out")):
        colour, marker, _ = SETS[kind]
        values = [row[part] for row in rows]
        axis.plot(values, range(len(rows)), ls="none", marker=marker, color=colour, ms=5, label=label, clip_on=False)
    axis.set_yticks(range(len(rows)), [row["label"] for row in rows], fontsize=6)
    for tick, row in zip(axis.get_yticklabels(), rows, strict=True):
        tick.set_fontweight("bold" if row["chosen"] else "normal")
    axis.set(title="Tried in rehearsal", xlabel="what is left, ROUGE-1 recall", xlim=(0, 1.05))
    axis.margins(y=0.15)
    axis.invert_yaxis()
    if rows:
        axis.legend(fontsize=6, loc="center")
    else:
        note(axis, "settings are stated")


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} figure entity", smk.log[0]):
        facts = {name: read_json(path) for name, path in zip(smk.params.methods, smk.input.facts, strict=True)}
        paths = dict(zip(smk.params.rehearsed, smk.input.settings, strict=True))
        rows = [row for name, path in paths.items() for row in tried(path, facts[name]["chosen"])]
        first, block, found = first_block(facts)
        figure, (left, middle, right) = plt.subplots(1, 3, figsize=(TWO_COLUMNS * 1.2, ONE_COLUMN * 0.9))
        draw_tried(left, rows)
        for one in spectra(facts):
            values, colour = one["values"], method_style(one["method"])["color"]
            line = "-" if one["method"] == first else "--"
            middle.plot(range(1, len(values) + 1), values, lw=0.9, color=colour, ls=line, label=one["label"])
        middle.set(xscale="log", yscale="log", title="Singular values", xlabel="index", ylabel="singular value")
        middle.legend(fontsize=6)
        right.barh(range(len(found["moved"])), list(found["moved"].values()), color=method_style(first)["color"])
        right.set_yticks(range(len(found["moved"])), list(found["moved"]), fontsize=6)
        right.invert_yaxis()
        right.set(title="What moves", xlabel=f"change / stream, block {block}")
        save(figure, smk.output.figure, smk.output.pdf)
        write_numbers(smk.output.numbers, numbers(facts, len(rows)))


main(snakemake)  # noqa: F821
