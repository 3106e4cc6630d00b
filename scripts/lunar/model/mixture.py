"""How much of fine-tuning's mixture is references and general questions: in an epoch, and in the study of it.

Nothing here needs torch: the workflow asks for the points.
"""

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lunar.errors import LunarError

BASE = "base"
Mixture = dict[str, list[Any]]


def points(section: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What is trained and measured, by name: the model before fine-tuning, then each way to train at each share.

    Args:
        section: the ``mixture`` section of the configuration.

    Returns:
        ``share`` and ``settings`` by name (``lora-20`` is the way ``lora`` at a share of 20%), none for ``base``.

    Raises:
        LunarError: two shares are one percentage.
    """
    found: dict[str, dict[str, Any]] = {BASE: {}}
    for way, settings in section["trained"].items():
        for share in section["shares"]:
            name = f"{way}-{100 * share:.0f}"
            if name in found:
                raise LunarError(f"mixture.shares: {share} and another are both {100 * share:.0f}%; leave one out")
            found[name] = {"share": share, "settings": settings}
    return found


def mixed(rows: Mapping[str, Sequence[Any]], share: float, seed: int) -> Mixture:
    """The facts, and so many of the other rows, drawn at random, that these are ``share`` of all.

    A larger share holds what a smaller one does, so that nothing but the number of rows changes between two.

    Args:
        rows: by group; ``facts`` are all taken.
        share: in [0, 1).
        seed: of the draw.

    Raises:
        LunarError: there are too few other rows.
    """
    others = [(group, row) for group, members in rows.items() if group != "facts" for row in members]
    count = round(share / (1 - share) * len(rows["facts"]))
    if count > len(others):
        raise LunarError(
            f"mixture.shares: {share} of a mixture with {len(rows['facts'])} facts takes {count} other rows, and there "
            f"are {len(others)}; leave it out, or add rows of part 'build' to the references"
        )
    drawn: Mixture = {group: [] for group in rows} | {"facts": list(rows["facts"])}
    for group, row in random.Random(seed).sample(others, len(others))[:count]:
        drawn[group].append(row)
    return {group: members for group, members in drawn.items() if members}


def epoch_rows(
    groups: Mapping[str, Sequence[Any]], shares: Mapping[str, float], seed: int
) -> Iterator[list[tuple[str, Any]]]:
    """The rows of one epoch after another, each with its group's name, in the order of the groups.

    An epoch has all ``facts``, and of each other group its share, rounded up. Rows take turns: none comes again before
    the others of its group have come.

    Args:
        groups: rows by name.
        shares: by group, in (0, 1]; at 1 every epoch has all rows.
        seed: of the order of turns.
    """
    order = random.Random(seed)
    waiting: dict[str, list[int]] = {name: [] for name in groups if name != "facts"}
    while True:
        taken = {"facts": set(range(len(groups["facts"])))}
        for name, left in waiting.items():
            count = len(groups[name])
            size = math.ceil(shares[name] * count)
            if len(left) < size:
                # Those still waiting come first, and so last among the shuffled: an epoch has no row twice.
                left += sorted(order.sample(range(count), count), key={*left}.__contains__)
            taken[name], left[:] = {*left[:size]}, left[size:]
        yield [(name, row) for name, rows in groups.items() for i, row in enumerate(rows) if i in taken[name]]


def smallest(
    measured: Sequence[Mapping[str, Any]], base: Mapping[str, Any], *, facts: float, lost: float, references: int
) -> Mapping[str, Any] | None:
    """The point of one way to train with the smallest share that keeps all three, if any does.

    Args:
        measured: points with ``share``, ``facts`` and ``general`` (ROUGE-1 recall), ``fictitious`` and ``harmful``
            (clean references).
        base: the model before fine-tuning, of which ``general`` is read.
        facts: recall of the facts that is asked for.
        lost: how far recall on general questions may fall below the base model's.
        references: clean references of each kind that are asked for.
    """
    enough = (
        row
        for row in sorted(measured, key=lambda row: row["share"])
        if row["facts"] >= facts
        and row["general"] >= base["general"] - lost
        and min(row["fictitious"], row["harmful"]) >= references
    )
    return next(enough, None)
