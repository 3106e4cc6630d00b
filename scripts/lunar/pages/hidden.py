"""The figure "hidden or removed": what each edit leaves of the forget set, alone and under its worst attack."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd

from lunar.pages.attacks import by_pair, worst
from lunar.pages.figures import GREY, SMALL, TWO_COLUMNS, key_of_kinds, kind_style
from lunar.pages.kinds import CONTROLS, Kind
from lunar.pages.names import CONTROL
from lunar.pages.removal import LEVEL, UNDER

WORDS = {f"{CONTROL}'s": "never knew", "a stranger's": "asked about strangers", "chance": "by chance"}


def _line(removal: pd.DataFrame, method: str, beginning: str) -> tuple[str, Mapping[str, Any]] | None:
    """What a line of the table takes off, and the line; None where it was not measured."""
    for row in removal.to_dict("records"):
        if row["method"] == method and row["line"].startswith(beginning) and not pd.isna(row["value"]):
            return row["line"].removeprefix(beginning).removesuffix(" under it"), row
    return None


def points(attacks: pd.DataFrame, removal: pd.DataFrame) -> list[dict[str, Any]]:
    """What is drawn of each edit, those first from which an attack draws least.

    Args:
        attacks: tables/attacks.csv.
        removal: tables/removal.csv, whose last line names the attack that draws most above a model that never knew.

    Returns:
        ``method``, ``alone`` and ``under`` (ROUGE-1 recall on the forget set), ``attack``, ``beside`` (under the same
        attack, of what never knew), ``level`` (of the same, left alone) and ``against``, what that is in words. The
        last three are None where they were not measured; the attack is then the one that draws most above no attack.
    """
    pairs = by_pair(attacks)
    found = []
    for method in dict.fromkeys(removal["method"]):
        beyond, level = (_line(removal, method, one.format("")) for one in (UNDER, LEVEL))
        attack = beyond[1]["attack"] if beyond else worst(attacks, method)["attack"]
        alone, under = (pairs[method, one]["forget_rouge1"] for one in ("none", attack))
        found.append(
            {
                "method": method,
                "alone": alone,
                "under": under,
                "attack": attack,
                "beside": under - beyond[1]["value"] if beyond else None,
                "level": alone - level[1]["value"] if level else None,
                "against": WORDS[(beyond or level)[0]] if beyond or level else None,
            }
        )
    return sorted(found, key=lambda one: one["under"] - (one["beside"] or 0))


def numbers(found: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """What the caption reads: the edit that gives least under its worst attack, and the one that gives most."""

    def said(one: Mapping[str, Any]) -> str:
        beside = "" if one["beside"] is None else f" ({one['against']}: {one['beside']:.2f})"
        return f"{one['method']} gives {one['alone']:.2f} alone and {one['under']:.2f} under {one['attack']}{beside}"

    return {"least": said(found[0]), "most": said(found[-1])}


def draw(found: Sequence[Mapping[str, Any]], kinds: Mapping[str, Kind]) -> Any:
    """The figure: a row an edit, with its forget ROUGE-1 left alone and under its worst attack.

    Args:
        found: as ``points`` gives them.
        kinds: of each method.
    """
    figure, axis = plt.subplots(figsize=(TWO_COLUMNS, 1.7 + 0.36 * len(found)))
    axis.set(xlim=(-0.03, 1.35), xticks=[0, 0.2, 0.4, 0.6, 0.8, 1.0], ylim=(len(found), -1.6))
    axis.set(xlabel="forget set, ROUGE-1 recall", title="Hidden or removed? Left alone, and under the worst attack")
    axis.grid(axis="y", visible=False)
    axis.tick_params(axis="y", length=0)
    axis.set_yticks(range(len(found)), [one["method"] for one in found])
    key_of_kinds(figure, [kinds[one["method"]] for one in found])
    levels = [one["level"] for one in found if one["level"] is not None]
    if levels:
        axis.axvline(levels[0], color=CONTROLS.colour, ls=":", lw=1)
        axis.text(levels[0] + 0.02, len(found) - 0.15, f"{found[0]['against']}, left alone", fontsize=SMALL, color=GREY)
    for row, (one, tick) in enumerate(zip(found, axis.get_yticklabels(), strict=True)):
        style = kind_style(kinds[one["method"]])
        tick.set_color(style["color"])
        axis.plot([one["alone"], one["under"]], [row, row], color=style["color"], lw=2, zorder=1.5)
        if one["beside"] is not None:
            axis.plot(one["beside"], row, marker="|", ms=12, mew=2.2, color=CONTROLS.colour, ls="none")
        axis.plot(one["alone"], row, ms=6, ls="none", **style | {"markerfacecolor": "white"})
        axis.plot(one["under"], row, ms=8, ls="none", **style | {"markerfacecolor": style["color"]})
        right = max(one["alone"], one["under"], one["beside"] or 0)
        axis.text(right + 0.03, row, f"{one['under']:.2f}  {one['attack']}", va="center", fontsize=SMALL)
    first = found[0]
    ends = sorted([(first["alone"], "left alone"), (first["under"], "under its worst attack")])
    said = [(*ends[0], "right", -0.55), (*ends[1], "left", -0.55)]
    if first["beside"] is not None:
        said.append((first["beside"], f"{first['against']}, same attack", "left", -1.05))
    for x, text, align, height in said:
        axis.annotate(
            text, (x, -0.25), (x, height), ha=align, va="bottom", fontsize=SMALL, color=GREY,
            arrowprops={"arrowstyle": "-", "lw": 0.6, "color": GREY, "shrinkA": 0, "shrinkB": 0},
        )  # fmt: skip
    return figure
