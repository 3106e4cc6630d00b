"""Whether a model from elsewhere is what it is said to be: a few questions to it and to the model before.

A mix-up of models or files gives numbers that look like a result. Most show in what the two models answer to a few
rows, in seconds, before anything dear is run.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from lunar.data.rows import spread
from lunar.errors import LunarError
from lunar.files import Row
from lunar.metrics.text import by_chance, mean, rouge1
from lunar.model.chat import Chat
from lunar.model.generate import generate

ASKED = 20  # rows of each set
# ROUGE-1 recall: more than this is no accident of twenty short answers.
CLEAR = 0.2
LOST = 0.3
ABOVE_CHANCE = 0.1
KNOWN = 0.5  # of what the model before knows of the retained rows, so much it has to know of the forget set


def known(model: Any, chat: Chat, rows: Mapping[str, Sequence[Row]], generation: Mapping[str, int]) -> dict[str, Any]:
    """What a model knows of a few rows of each set.

    Args:
        rows: ``forget`` and ``retain``, with gold answers.
        generation: ``max_new_tokens`` and ``batch_size``.

    Returns:
        By set the ROUGE-1 recall of its answers, and ``by_chance``, that of its answers to other forget rows.
    """
    few = {name: spread(part, ASKED) for name, part in rows.items()}
    questions = [row["question"] for part in few.values() for row in part]
    said = iter(generate(model, chat, questions, **generation))
    answers = {name: [row | next(said).row() for row in part] for name, part in few.items()}
    found = {name: mean(rouge1, part) for name, part in answers.items()}
    return found | {"by_chance": by_chance(answers["forget"]), "asked": {name: len(part) for name, part in few.items()}}


def judge(before: Mapping[str, Any], after: Mapping[str, Any], never_knew: bool) -> None:
    """Refuse what cannot be a model before and one that was unlearned from it, or that never knew.

    Args:
        before, after: as ``known``, of the model before and of the other one.
        never_knew: whether the other is to be one that was never taught the forget set.

    Raises:
        LunarError: says what was found, and what it looks like.
    """
    was, now = (f"{one['forget']:.2f}" for one in (before, after))
    if after["forget"] >= before["forget"] + CLEAR:
        raise LunarError(
            f"it answers the forget rows with ROUGE-1 {now}, and the model before with {was}: it knows more than that; "
            "the two folders look swapped"
        )
    least = max(before["by_chance"] + ABOVE_CHANCE, KNOWN * before["retain"])
    if before["forget"] < least:
        raise LunarError(
            f"the model before does not know the forget rows: ROUGE-1 {was}, where {before['by_chance']:.2f} is chance "
            f"and the retained rows have {before['retain']:.2f}; name rows that it was taught as data.forget, or the "
            "model that was taught them as the model before"
        )
    kept = after["forget"] >= before["forget"] - ABOVE_CHANCE
    if never_knew and kept:
        raise LunarError(
            f"it answers the forget rows as the model before does (ROUGE-1 {now} and {was}), so it is none that never "
            "knew; name another as retain_only, or leave it out"
        )
    if kept and after["retain"] <= before["retain"] - LOST:
        raise LunarError(
            f"it has lost the retained rows (ROUGE-1 {before['retain']:.2f} to {after['retain']:.2f}) and kept the "
            f"forget rows ({was} to {now}); the files of data.forget and data.retain look swapped"
        )
    if never_knew and after["retain"] <= before["retain"] - LOST:
        raise LunarError(
            f"it does not know the retained rows (ROUGE-1 {after['retain']:.2f}, the model before "
            f"{before['retain']:.2f}), so it is not the model before without the forget set; name another as "
            "retain_only, or leave it out"
        )
