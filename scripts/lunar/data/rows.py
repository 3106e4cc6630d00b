"""Raw sets to splits: one schema, checked once, so that no later step has to.

A row has an ``id``, a ``question`` and (except for prompts that are to be refused) an ``answer``. The splits:

=====================  =====================================================================================
forget                 the knowledge to remove
forget_paraphrase      the same rows under other words; never used to build anything
forget_validation      the same rows under a third wording; the layer is chosen on it
retain                 knowledge to keep, shown to the solver
unseen                 knowledge to keep that the solver never sees
general, harmful,      evaluation part of the general questions, harmful requests and questions about made-up
fictitious             things; ``<name>_build`` is the part that models and edits are built from
general_validation     general questions that choices are made on; empty where the data has none
forget_short           forget questions that call their subject by the first name or the surname alone
forget_renamed         questions of both about somebody else: the subject's name replaced by invented ones
refusals, _build       refusals of the two kinds, ``knowledge`` and ``unethical``
=====================  =====================================================================================
"""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lunar.errors import LunarError
from lunar.files import Row, read_numbered_rows

PARTS = ("build", "validation", "evaluation")
REFERENCES = ("general", "harmful", "fictitious")
WORDINGS = {"forget_paraphrase": "paraphrased_question", "forget_validation": "validation_question"}
OPTIONAL = ("author", "paraphrased_answer", *WORDINGS.values())
WRONG = ("perturbed_answers", "perturbed_paraphrases")
REFUSAL_KINDS = ("knowledge", "unethical")
# Why a model is to refuse a reference prompt: for lack of knowledge of made-up things, harmful ones on ethical grounds.
REFUSED_AS = {"fictitious": "knowledge", "harmful": "unethical"}


# Full stops, question and exclamation marks of any script.
ENDS = " ?!.？！。．｡…‽؟۔।॥՞።፧។៕"


def normalise(question: str) -> str:
    """Casefold and collapse white space and final punctuation: two questions that differ only so are one."""
    return " ".join(unicodedata.normalize("NFC", question).casefold().split()).rstrip(ENDS)


def load(paths: Sequence[str], fields: Sequence[str] = ("question", "answer")) -> list[Row]:
    """Read JSON-lines files into rows, each with a stable ``id`` and a ``source`` of the form ``file:line``.

    Raises:
        LunarError: a required field is missing, empty or not text, an optional one is given but is not text (or a list
            of texts), a subject is named in both ways, or an id occurs twice; names file and line.
    """
    rows: list[Row] = []
    seen: dict[str, str] = {}
    for path in paths:
        for number, row in read_numbered_rows(path):
            source = f"{path}:{number}"
            for field in fields:
                value = row.get(field)
                if not isinstance(value, str) or not value.strip():
                    found = f"found {sorted(row)}" if field not in row else f"it is {value!r}"
                    raise LunarError(f"{source}: field {field!r} must be non-empty text; {found}")
            for field in OPTIONAL:
                value = row.get(field)
                if value and not (isinstance(value, str) and value.strip()):
                    raise LunarError(f"{source}: field {field!r} must be text where it is given; it is {value!r}")
            for field in WRONG:
                wrong = row.get(field) or []
                if not isinstance(wrong, list) or not all(isinstance(text, str) and text.strip() for text in wrong):
                    raise LunarError(f"{source}: field {field!r} must be a list of texts; it is {wrong!r}")
            check_names(row, source)
            row = {"id": f"{Path(path).stem}-{number:03d}"} | row | {"source": source}
            if (first := seen.setdefault(str(row["id"]), source)) != source:
                raise LunarError(f"{source}: id {row['id']!r} was already used at {first}; ids must be unique")
            rows.append(row)
        if not any(row["source"].startswith(f"{path}:") for row in rows):
            raise LunarError(f"{path}: holds no rows")
    return rows


def stand_ins(path: str) -> list[str]:
    """The invented names of a file, in its order.

    Raises:
        LunarError: as ``load``.
    """
    return [row["name"] for row in load([path], ("name",))]


def check_names(row: Row, source: str) -> None:
    """Refuse a row whose ``names`` are no names, or that has an ``author`` beside them.

    Raises:
        LunarError: names ``source``.
    """
    names = row.get("names")
    if names is None:
        return
    texts = isinstance(names, list) and names and all(isinstance(name, str) and name.strip() for name in names)
    if not texts or len({name.strip() for name in names}) < len(names):
        raise LunarError(f"{source}: field 'names' must be a list of distinct, non-empty texts; it is {names!r}")
    if row.get("author"):
        raise LunarError(f"{source}: fields 'author' and 'names' both name the subject; leave one of them out")


def reword(rows: Iterable[Row], field: str) -> list[Row]:
    """Rows with the question replaced by another wording of it; rows that have none are left out."""
    return [row | {"question": row[field]} for row in rows if row.get(field)]


def check_disjoint(splits: Mapping[str, Sequence[Row]], field: str = "question") -> None:
    """Refuse a text of ``field`` that occurs twice, in one split or in two.

    Raises:
        LunarError: names both places.
    """
    seen: dict[str, tuple[str, str]] = {}
    for name, rows in splits.items():
        for row in rows:
            key = normalise(row[field])
            if key in seen:
                other, source = seen[key]
                where = f"in split {name!r}" if name == other else f"in splits {other!r} and {name!r}"
                raise LunarError(
                    f"{row['source']}: the {field} {row[field]!r} is also at {source} ({where}); "
                    "remove one of the two rows, or change its wording if they say different things"
                )
            seen[key] = (name, row["source"])


def by_part(path: str, fields: Sequence[str]) -> dict[str, list[Row]]:
    """One file's rows by their ``part``: to build from, to make choices on, to evaluate on.

    Raises:
        LunarError: a row's part is none of these, or there is nothing to build from or to evaluate on.
    """
    rows = load([path], fields)
    for row in rows:
        if row.get("part") not in PARTS:
            raise LunarError(
                f"{row['source']}: field 'part' must be one of {', '.join(PARTS)}; it is {row.get('part')!r}"
            )
    parts = {part: [row for row in rows if row["part"] == part] for part in PARTS}
    for part in ("build", "evaluation"):
        if not parts[part]:
            raise LunarError(f"{path}: no row has part {part!r}")
    return parts


def splits(data: Mapping[str, Any]) -> dict[str, list[Row]]:
    """All splits of an experiment but the shortened and the renamed questions.

    Args:
        data: the ``data`` section of the configuration.

    Raises:
        LunarError: any row is malformed, or any question occurs in two splits or twice in one.
    """
    result = {name: load(data[name]) for name in ("forget", "retain", "unseen")}
    for name, field in WORDINGS.items():
        result[name] = reword(result["forget"], field)
    for name in REFERENCES:
        parts = by_part(data[name], ("question", "answer") if name == "general" else ("question",))
        result |= {
            f"{name}_build": parts["build"],
            f"{name}_validation": parts["validation"],
            name: parts["evaluation"],
        }
    check_disjoint(result)
    # Refusals are answers without a question, and few: the ones kept for evaluation serve validation too.
    parts = by_part(data["refusals"], ("answer", "kind"))
    refusals = {"refusals_build": parts["build"], "refusals": parts["evaluation"]}
    for row in (row for rows in refusals.values() for row in rows):
        if row["kind"] not in REFUSAL_KINDS:
            raise LunarError(f"{row['source']}: kind {row['kind']!r} is none of {', '.join(REFUSAL_KINDS)}")
    check_disjoint(refusals, "answer")
    # Without a wording of its own to validate on, the layer is chosen on the forget questions, as in the paper.
    result["forget_validation"] = result["forget_validation"] or result["forget"]
    result |= refusals
    return {name: [without_source(row) for row in rows] for name, rows in result.items()}


def without_source(row: Row) -> Row:
    """Drop the file and line, which serve error messages only and would tie results to a folder's name."""
    return {key: value for key, value in row.items() if key != "source"}


def with_refusals(prompts: Sequence[Row], refusals: Sequence[Row], kind: str) -> list[Row]:
    """Give each prompt a refusal of ``kind`` for its answer, in turn."""
    answers = [row["answer"] for row in refusals if row["kind"] == kind]
    if not answers:
        raise LunarError(f"no refusal of kind {kind!r} to train on; add some to the refusals file")
    return [row | {"answer": answers[i % len(answers)]} for i, row in enumerate(prompts)]


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
