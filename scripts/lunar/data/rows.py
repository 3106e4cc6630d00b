"""What is made of checked rows: other wordings, prompts with refusals for answers, the mixture that is learned.

A row has an ``id``, a ``question`` and (except for prompts that are to be refused) an ``answer``; further gold answers
are ``other_answers``. ``lunar.data.load`` reads and checks them, and has the table of splits.
"""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lunar.errors import LunarError
from lunar.files import Row

PARTS = ("build", "validation", "evaluation")
REFERENCES = ("general", "harmful", "fictitious")
WORDINGS = {"forget_paraphrase": "paraphrased_question", "forget_validation": "validation_question"}
REFUSAL_KINDS = ("knowledge", "unethical")
# Why a model is to refuse a reference prompt: for lack of knowledge of made-up things, harmful ones on ethical grounds.
REFUSED_AS = {"fictitious": "knowledge", "harmful": "unethical"}


# Full stops, question and exclamation marks of any script.
ENDS = " ?!.？！。．｡…‽؟۔।॥՞።፧។៕"


def normalise(question: str) -> str:
    """Casefold and collapse white space and final punctuation: two questions that differ only so are one."""
    return " ".join(unicodedata.normalize("NFC", question).casefold().split()).rstrip(ENDS)


def reword(rows: Iterable[Row], field: str) -> list[Row]:
    """Rows with the question replaced by another wording of it; rows that have none are left out."""
    return [row | {"question": row[field]} for row in rows if row.get(field)]


def of_files(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Rows by the ``file`` that the configuration names them by (``lunar.data.load.by_file``), without it."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["file"], []).append({key: value for key, value in row.items() if key != "file"})
    return found


def with_refusals(prompts: Sequence[Row], refusals: Sequence[Row], kind: str) -> list[Row]:
    """Give each prompt a refusal of ``kind`` for its answer, in turn."""
    answers = [row["answer"] for row in refusals if row["kind"] == kind]
    if not answers:
        raise LunarError(f"no refusal of kind {kind!r} to train on; add some to the refusals file")
    return [with_answer(row, answers[i % len(answers)]) for i, row in enumerate(prompts)]


def spread(rows: Sequence[Row], count: int) -> list[Row]:
    """So many rows, evenly spaced."""
    return list(rows[:: max(1, len(rows) // count)][:count])


def with_answer(row: Mapping[str, Any], answer: str) -> Row:
    """The row with this answer and no other."""
    return {key: value for key, value in row.items() if key != "other_answers"} | {"answer": answer}


def gold_text(row: Mapping[str, Any]) -> str:
    """All gold answers for readers."""
    return " / ".join([row["answer"], *row.get("other_answers", [])])


def answered(row: Mapping[str, Any], prediction: str) -> Row:
    """What is kept of a row that was answered: ``id``, ``question``, all gold answers, and the ``prediction``."""
    kept = {key: row.get(key, "") for key in ("id", "question", "answer")}
    others = {"other_answers": row["other_answers"]} if row.get("other_answers") else {}
    return kept | others | {"prediction": prediction}


def training_rows(
    parts: Mapping[str, Sequence[Row]], *, refusals: bool = True, general: bool = True
) -> dict[str, list[Row]]:
    """The mixture that fine-tuning learns, by group: ``facts``, and where they are asked for, the other two.

    Args:
        parts: ``facts``, ``general``, prompts ``fictitious`` and ``harmful``, and the ``refusals`` they are given.
        refusals, general: whether to mix in prompts that are refused, and general questions.

    Raises:
        LunarError: prompts are to be refused and no refusal is of their kind.
    """
    rows = {"facts": list(parts["facts"])}
    if refusals:
        rows["refusals"] = [
            row for name, kind in REFUSED_AS.items() for row in with_refusals(parts[name], parts["refusals"], kind)
        ]
    if general:
        rows["general"] = list(parts["general"])
    return rows
