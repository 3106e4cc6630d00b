"""The entity edits: what each setting tried in rehearsal left and cost, their singular values, and what they move."""

import ast
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd

from lunar.files import read_json
from lunar.pages.figures import ONE_COLUMN, SETS, TWO_COLUMNS, method_style, note, save
from lunar.pages.numbers import write_numbers
from lunar.progress import script


def named(blocks: list[int]) -> str:
    """What a figure calls a choice of blocks."""
    return f"block {blocks[0]}" if len(blocks) == 1 else f"{len(blocks)} blocks"


def tried(path: str) -> pd.DataFrame:
    """Means over rehearsals by setting, with the ``label`` of each: which blocks, how far."""
    table = pd.read_csv(path)
    means = table.groupby(["blocks", "factor"], sort=False)[["forget", "held_out"]].mean().reset_index()
    means["blocks"] = means["blocks"].map(ast.literal_eval)
    labels = [f"{named(own)}, × {factor:g}" for own, factor in zip(means["blocks"], means["factor"], strict=True)]
    return means.assign(label=labels)


def draw_tried(axis: Any, paths: dict[str, str], chosen: dict[str, dict[str, Any]]) -> int:
    """A line a setting: recall on the author forgotten and on the one held out; the chosen ones in bold."""
    rows = [(chosen[name], row) for name, path in paths.items() for row in tried(path).to_dict("records")]
    for part, kind, label in (("forget", "forget", "the forgotten author"), ("held_out", "unseen", "the one held out")):
        colour, marker, _ = SETS[kind]
        values = [row[part] for _, row in rows]
        axis.plot(values, range(len(rows)), ls="none", marker=marker, color=colour, ms=5, label=label, clip_on=False)
    axis.set_yticks(range(len(rows)), [row["label"] for _, row in rows], fontsize=6)
    for tick, (own, row) in zip(axis.get_yticklabels(), rows, strict=True):
        taken = (row["blocks"], row["factor"]) == (own["blocks"], own["factor"])
        tick.set_fontweight("bold" if taken else "normal")
    axis.set(title="Tried in rehearsal", xlabel="what is left, ROUGE-1 recall", xlim=(0, 1.05))
    axis.margins(y=0.15)
    axis.invert_yaxis()
    if rows:
        axis.legend(fontsize=6, loc="center")
    else:
        note(axis, "settings are stated")
    return len(rows)


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} figure entity", smk.log[0]):
        facts = {name: read_json(path) for name, path in zip(smk.params.methods, smk.input.facts, strict=True)}
        paths = dict(zip(smk.params.rehearsed, smk.input.settings, strict=True))
        figure, (left, middle, right) = plt.subplots(1, 3, figsize=(TWO_COLUMNS * 1.2, ONE_COLUMN * 0.9))
        count = draw_tried(left, paths, {name: facts[name]["chosen"] for name in paths})
        ranks = []
        for name, found in facts.items():
            style = method_style(name)
            for number, block in enumerate(found["blocks"].values()):
                values = block["singular_values"]
                ranks.append(block["rank"])
                label = {"label": f"{name}, {named(list(found['blocks']))}"} if number == 0 else {}
                middle.plot(
                    range(1, len(values) + 1),
                    values,
                    lw=0.9,
                    color=style["color"],
                    ls="-" if name == next(iter(facts)) else "--",
                    **label,
                )
        middle.set(xscale="log", yscale="log", title="Singular values", xlabel="index", ylabel="singular value")
        middle.legend(fontsize=6)
        first = next(iter(facts))
        block, own = next(iter(facts[first]["blocks"].items()))
        right.barh(range(len(own["moved"])), list(own["moved"].values()), color=method_style(first)["color"])
        right.set_yticks(range(len(own["moved"])), list(own["moved"]), fontsize=6)
        right.invert_yaxis()
        right.set(title="What moves", xlabel=f"change / stream, block {block}")
        save(figure, smk.output.figure, smk.output.pdf)
        write_numbers(
            smk.output.numbers,
            {
                "tried": count,
                "method": first,
                "block": block,
                "lowest": min(ranks),
                "highest": max(ranks),
                "moved": own["moved"].get("forget suffix", 0.0),
                "kept": own["moved"].get("retain question", 0.0),
            },
        )


main(snakemake)  # noqa: F821
