"""What the figure of the entity edits shows: settings tried, singular values, and the numbers of its caption."""

import ast
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from lunar.pages.figures import SETS, SMALL, note
from lunar.pages.labels import Named, label_points

Facts = Mapping[str, Mapping[str, Any]]  # edits/<method>.json, by method


def named(blocks: Sequence[int]) -> str:
    """What the figure calls a choice of blocks."""
    return f"block {blocks[0]}" if len(blocks) == 1 else f"{len(blocks)} blocks"


def tried(path: str, chosen: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The settings tried in one method's rehearsals, in the order of its table.

    Args:
        path: rehearsal/<method>.csv, a line a setting and pair of authors.
        chosen: the ``blocks`` and the ``factor`` that were taken.

    Returns:
        Rows of ``label``, ``forget`` and ``held_out`` (ROUGE-1 recall, means over pairs) and ``chosen``.
    """
    means = pd.read_csv(path).groupby(["blocks", "factor"], sort=False)[["forget", "held_out"]].mean().reset_index()
    rows = []
    for row in means.to_dict("records"):
        blocks, factor = ast.literal_eval(row["blocks"]), row["factor"]
        taken = (blocks, factor) == (chosen["blocks"], chosen["factor"])
        found = {"label": f"{named(blocks)}, × {factor:g}", "chosen": taken}
        rows.append(found | {part: row[part] for part in ("forget", "held_out")})
    return rows


def draw_tried(axis: Any, rows: Sequence[Mapping[str, Any]]) -> None:
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


def name_tried(axis: Any, rows: Sequence[Mapping[str, Any]]) -> None:
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


def spectra(facts: Facts) -> list[dict[str, Any]]:
    """Singular values of every edited block: ``method``, ``values`` and ``label``.

    The label is that of the method at its first block, and None at the others: a legend names a method once.
    """
    return [
        {
            "method": name,
            "values": block["singular_values"],
            "label": f"{name}, {named(list(found['blocks']))}" if number == 0 else None,
        }
        for name, found in facts.items()
        for number, block in enumerate(found["blocks"].values())
    ]


def first_block(facts: Facts) -> tuple[str, str, Mapping[str, Any]]:
    """The first method, its first edited block, and what is known of the edit there."""
    name = next(iter(facts))
    return name, *next(iter(facts[name]["blocks"].items()))


def numbers(facts: Facts, shown: int) -> dict[str, Any]:
    """What the caption reads; ``shown`` is the number of settings in the figure."""
    name, block, found = first_block(facts)
    ranks = [one["rank"] for method in facts.values() for one in method["blocks"].values()]
    return {
        "tried": shown,
        "method": name,
        "block": block,
        "lowest": min(ranks),
        "highest": max(ranks),
        "moved": found["moved"].get("forget suffix", 0.0),
        "kept": found["moved"].get("retain question", 0.0),
    }
