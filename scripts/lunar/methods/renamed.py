"""Renamed copies of forget questions that are about somebody else to the model too.

A question often tells more than a name: of a husband, of a goose by its name. The model then answers the copy about an
invented person with what it knows of the forgotten one. Such a copy says nothing about other people, and keeping its
tokens in place would keep the way to the answer open.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from lunar.data.words import pieces, stems
from lunar.files import Row
from lunar.metrics.text import rouge1
from lunar.model.chat import Chat
from lunar.model.generate import generate


def beyond(question: str, answer: str) -> str:
    """The words of an answer whose stems its question does not have: what it tells."""
    asked = set(stems(question))
    return " ".join(word for word in pieces(answer) if not set(stems(word)) <= asked)


def told(row: Row) -> Row:
    """What each gold answer of a row tells."""
    first, *others = (beyond(row["question"], one) for one in (row["answer"], *row.get("other_answers", [])))
    return {"answer": first, "other_answers": [text for text in others if text]}


def told_apart(
    model: Any,
    chat: Chat,
    copies: Sequence[Row],
    originals: Sequence[Row],
    leaked: float,
    generation: Mapping[str, int],
    **how: Any,
) -> tuple[list[Row], list[Row]]:
    """Copies that the model answers otherwise than their originals, and copies that it gives the forgotten answer to.

    Args:
        model: before unlearning.
        copies: as ``lunar.data.forget_sets`` makes them.
        originals: rows that the copies were made of.
        leaked: ROUGE-1 recall, of what the original's answer tells beyond its question, above which a copy is given
            the forgotten answer.
        generation: ``max_new_tokens`` and ``batch_size``.
        how: further arguments of ``lunar.model.generate.generate``.

    Returns:
        Both with the model's ``prediction`` and that ``recall``.
    """
    gold = {row["id"]: told(row) for row in originals}
    predictions = generate(model, chat, [row["question"] for row in copies], **generation, **how)
    rows = [
        row | text.row() | {"recall": round(rouge1(gold[row["original"]] | {"prediction": text}), 4)}
        for row, text in zip(copies, predictions, strict=True)
    ]
    return [row for row in rows if row["recall"] <= leaked], [row for row in rows if row["recall"] > leaked]
