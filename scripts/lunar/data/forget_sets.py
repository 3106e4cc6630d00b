"""What is made of a forget set: the same questions under half of a name, about somebody else, and declined."""

import random
from collections.abc import Sequence

from lunar.data.rows import with_refusals
from lunar.data.subjects import renamed, subject_of
from lunar.files import Row


def forget_sets(
    forget: Sequence[Row],
    names: Sequence[str] = (),
    copies: int = 0,
    seed: int = 0,
    refusals: Sequence[Row] | None = None,
) -> dict[str, list[Row]]:
    """Rows made of a forget set, by set.

    Args:
        forget: the forget set.
        names, copies, seed: as ``rename``.
        refusals: refusals to answer with.

    Returns:
        ``short`` (``shorten``), ``renamed`` (``rename``, of both the forget set and ``short``) and, where refusals are
        given, ``declined``: the forget set with refusals for lack of knowledge as answers.

    Raises:
        LunarError: as ``rename``; or no refusal is for lack of knowledge.
    """
    short = shorten(forget)
    found = {"short": short, "renamed": rename([*forget, *short], names, copies, seed)}
    return found if refusals is None else found | {"declined": with_refusals(forget, refusals, "knowledge")}


def shorten(rows: Sequence[Row]) -> list[Row]:
    """Copies of the questions that give their subject's full name, with the surname and with the first name alone.

    A model that knows a person by the full name knows the person by half of it, so both are asked.

    Args:
        rows: rows with the subject's full name in ``author``; rows without one are left out, and questions that do
            not give it.
    """
    found = []
    for row in rows:
        subject = subject_of(row)
        for kind, name in subject.halves().items() if subject else ():
            question = row["question"]
            for full in subject.whole():
                question = question.replace(full, name)
            if question != row["question"]:
                found.append(row | {"id": f"{row['id']}-{kind}", "question": question})
    return found


def rename(rows: Sequence[Row], names: Sequence[str], copies: int, seed: int) -> list[Row]:
    """Copies of questions that name their subject, each about an invented one.

    A copy has a new ``id``, and the id of its row as ``original``. The stand-in is in the field in which the row names
    its subject (``author`` or ``names``).

    Args:
        rows: rows that say whom they are about (``lunar.data.subjects``); others, and questions that do not name their
            subject, are left out.
        names: invented names to draw from.
        copies: copies of each question.
        seed: seed of the draw.

    Raises:
        LunarError: a subject has more names than there are to draw.
    """
    draw = random.Random(seed)
    found = []
    for row in rows:
        subject = subject_of(row)
        for copy in range(copies if subject else 0):
            other = subject.stand_in(names, draw)
            question = renamed(row["question"], subject, other)
            if question != row["question"]:
                about = other.field() | {"original": row["id"]}
                found.append({"id": f"{row['id']}-renamed-{copy + 1}", "question": question} | about)
    return found
