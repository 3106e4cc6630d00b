"""Choosing settings on retained authors, so that the forget set that is reported on takes no part.

In a rehearsal one retained author plays the forgotten one and another is held out of everything the method is shown, as
the unseen authors are; the method then unlearns with each setting of its grid and the answers are scored.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from lunar.data.rows import load, rename, reword, shorten, stand_ins
from lunar.files import Row
from lunar.metrics.text import mean, refusal, rouge1
from lunar.model.chat import Chat
from lunar.model.generate import generate


def score(forget: float, held_out: float, refused: float) -> float:
    """100 sqrt(forget^2 + (1 - held_out)^2 + refused^2): DS with the held-out author for the retain set.

    Args:
        forget: ROUGE-1 recall on the author to forget, in two wordings.
        held_out: ROUGE-1 recall on the author that the method was not shown.
        refused: share of plain general questions refused beyond what the model refuses anyway.

    Returns:
        0 at best.
    """
    return 100.0 * math.sqrt(forget**2 + (1.0 - held_out) ** 2 + refused**2)


def combinations(grid: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Every choice of one value a key, the last key varying fastest."""
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def halved(settings: int, pairs: int) -> list[int]:
    """How many settings each pair of authors is to try: all, then always the better half, rounded up."""
    rounds = [settings]
    while len(rounds) < pairs:
        rounds.append(-(-rounds[-1] // 2))
    return rounds


def cast(forget: str, held_out: str, retain: Sequence[str], names: str, copies: int, seed: int) -> dict[str, list[Row]]:
    """Rows by part.

    ``forget``, ``forget_validation``, ``short``, ``renamed``, ``held_out`` and, all other authors, ``retain``.

    Args:
        forget, held_out: files of the authors who play these parts.
        retain: files of all retained authors.
        names: file of invented names.
        copies, seed: as ``lunar.data.rows.rename``.
    """
    rows = load([forget])
    short = shorten(rows)
    return {
        "forget": rows,
        "forget_validation": reword(rows, "validation_question"),
        "held_out": load([held_out]),
        "retain": load([path for path in retain if path not in (forget, held_out)]),
        "short": short,
        "renamed": rename([*rows, *short], stand_ins(names), copies, seed),
    }


def share_refused(answers: Sequence[str]) -> float:
    """Share of answers that are refusals, 0 of none."""
    return mean(refusal, [{"prediction": answer} for answer in answers])


def measure(
    model: Any, chat: Chat, parts: Mapping[str, Sequence[Row]], generation: Mapping[str, int]
) -> dict[str, float]:
    """Answer every part's questions and measure.

    Args:
        parts: rows; ``forget``, ``forget_validation``, ``held_out`` and ``general_validation``.
        generation: ``max_new_tokens`` and ``batch_size``.

    Returns:
        ``forget`` and ``held_out`` (ROUGE-1 recall) and ``refused`` (share of the general questions, 0 of none).
    """
    names = ("forget", "forget_validation", "held_out", "general_validation")
    rows = [(name, row) for name in names for row in parts[name]]
    answers = generate(model, chat, [row["question"] for _, row in rows], **generation)
    found: dict[str, list[Row]] = {name: [] for name in names}
    for (name, row), answer in zip(rows, answers, strict=True):
        found[name].append(row | {"prediction": answer})

    return {
        "forget": mean(rouge1, found["forget"] + found["forget_validation"]),
        "held_out": mean(rouge1, found["held_out"]),
        "refused": share_refused([row["prediction"] for row in found["general_validation"]]),
    }
