"""What the fields of a row may hold: one check of every row that comes from outside, before anything is built on it."""

import json
import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from textwrap import shorten
from typing import Any

from lunar.data.read import TURNS, Number
from lunar.data.rows import PARTS, REFUSAL_KINDS, normalise
from lunar.errors import nearest, shown
from lunar.files import Row

TEXTS = ("question", "answer", "author", "paraphrased_question", "paraphrased_answer", "validation_question")
LISTS = ("other_answers", "names", "perturbed_answers", "perturbed_paraphrases")
# Where a number counts as the text that it is written as: whatever is an answer.
NUMBERS = ("id", "answer", "paraphrased_answer", "other_answers", "perturbed_answers", "perturbed_paraphrases")
ALLOWED = {"part": PARTS, "kind": REFUSAL_KINDS}
FIELDS = ("id", *TEXTS, *LISTS, *ALLOWED, "name")
LONGEST = 100_000  # characters of one text
UNFIT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffd]")
BLANK = "\u115f\u1160\u2800\u3164\uffa0"  # letters and symbols that show nothing
# What other projects call these two, for hints.
CALLED = {
    "question": ("prompt", "instruction", "query", "input", "problem"),
    "answer": ("completion", "output", "response", "answers", "target", "solution", "label"),
}
ROLES = {"human": "user", "gpt": "assistant"}


def cleaned(row: Mapping[str, Any], required: Collection[str], default_id: str) -> tuple[Row, list[str]]:
    """A row in this project's form, and what is wrong with it.

    Only fields of the schema stay. A field that is null, empty or an empty list counts as absent. Texts are in NFC, so
    that two spellings of one name are one, and with plain line breaks. Of several gold answers the first is the
    ``answer``, the rest are ``other_answers``.

    Args:
        row: as it was read.
        required: fields that must hold text.
        default_id: for a row without one.
    """
    faults: list[str] = []
    row = {name: value for name, value in row.items() if value is not None and value != "" and value != []}
    if "question" in required and "question" not in row and any(name in row for name in TURNS):
        row |= _conversation(row, faults)
        if faults:
            return {"id": default_id}, faults
    known = [name for name in row if name in (*TEXTS, *LISTS) or name in required]
    found: Row = {}
    for name in known:
        value = _listed(row[name], name, faults)
        if name in LISTS or (name == "answer" and isinstance(value, list)):
            found[name] = _texts(value, name, faults)
        else:
            found[name] = _text(value, name, faults, _wanted(name, required))
    for name in required:
        said = f"field {name!r} must be {_wanted(name, required)}"
        if name not in row:
            faults.append(f"{said}; found {shown(sorted(row))}{_hint(name, row)}")
        elif name in ALLOWED and found[name] and found[name] not in ALLOWED[name]:
            faults.append(f"{said}; it is {found[name]!r}")
    identity = _text(row["id"], "id", faults, "text") if "id" in row else default_id
    if identity and re.search(r"[\n\t]|^\s|\s$", identity):
        faults.append(f"field 'id' must be one line without blanks around it; it is {shown(identity)}")
    if not faults:
        _together(found, faults)
    return {"id": identity} | found, faults


def _wanted(name: str, required: Collection[str]) -> str:
    if name in ALLOWED:
        return f"one of {', '.join(ALLOWED[name])}"
    return "non-empty text" if name in required else "text where it is given"


def _text(value: Any, name: str, faults: list[str], wanted: str) -> str:
    if isinstance(value, Number) and name in NUMBERS:
        return str(value)
    if isinstance(value, Number) or not isinstance(value, str):
        number = isinstance(value, Number | float | bool)
        way = "; write it in quotes" if number else _hint_of_list(value, name)
        faults.append(f"field {name!r} must be {wanted}; it is {shown(value)}{way}")
        return ""
    text = re.sub("\r\n?", "\n", unicodedata.normalize("NFC", value))
    if said := _unfit(text):
        empty = said == "empty"
        faults.append(f"field {name!r} must be {wanted}; it is {shown(value)}" if empty else f"field {name!r} {said}")
        return ""
    return text


def _unfit(text: str) -> str | None:
    """Why a text cannot be asked, trained on or compared; ``empty`` where nothing of it shows."""
    if found := UNFIT.search(text):
        code = ord(found.group())
        if 0xD800 <= code < 0xE000:
            return f"holds half a character (\\u{code:04x}), as of a cut emoji; write the whole one or leave it out"
        if code == 0xFFFD:
            return "holds U+FFFD, which a wrong encoding left; export the data again as UTF-8"
        return f"holds the control character U+{code:04X}; leave it out"
    if len(text) > LONGEST:
        return f"has {len(text)} characters, and at most {LONGEST} are read; cut the text"
    shows = any(unicodedata.category(one)[0] not in "ZCM" and one not in BLANK for one in text)
    return None if shows else "empty"


def _listed(value: Any, name: str, faults: list[str]) -> Any:
    """A list that is written as text, as in a cell of a table, as a list."""
    if name not in (*LISTS, "answer") or not isinstance(value, str) or isinstance(value, Number):
        return value
    if not re.fullmatch(r"\s*\[\s*(['\"].*['\"]\s*)?\]\s*", value, flags=re.DOTALL):
        return value
    try:
        return json.loads(value)
    except ValueError:
        if name == "answer":
            faults.append(f'field {name!r} looks like a list and is no JSON; write it as ["...", "..."]')
            return "-"
        return value


def _texts(value: Any, name: str, faults: list[str]) -> list[str]:
    what = "a list of distinct, non-empty texts" if name == "names" else "a list of texts"
    before = len(faults)
    texts = [_text(one, name, faults, "a text") for one in value] if isinstance(value, list) else []
    same = name == "names" and len({text.strip() for text in texts}) < len(texts)
    if not texts or same or any("must be a text" in said for said in faults[before:]):
        faults[before:] = [f"field {name!r} must be {what}; it is {shown(value)}"]
    return texts


def _together(row: Row, faults: list[str]) -> None:
    """What fields say together; several gold answers are told apart."""
    if "author" in row and "names" in row:
        faults.append("fields 'author' and 'names' both name the subject; leave one of them out")
    if "answer" not in row:
        return
    if isinstance(row["answer"], list):
        row["answer"], *others = row["answer"]
        row["other_answers"] = [*others, *row.get("other_answers", [])]
    if "other_answers" in row:
        distinct = {normalise(row["answer"]): row["answer"]}
        for text in row.pop("other_answers"):
            distinct.setdefault(normalise(text), text)
        row |= {"other_answers": [*distinct.values()][1:]} if len(distinct) > 1 else {}
    if "question" in row and normalise(row["question"]) == normalise(row["answer"]):
        faults.append(f"the answer is the question, {shown(row['answer'])}; does data.fields name the right field?")
    right = {normalise(text) for text in (row["answer"], *row.get("other_answers", []))}
    right |= {normalise(row["paraphrased_answer"])} if "paraphrased_answer" in row else set()
    for name in ("perturbed_answers", "perturbed_paraphrases"):
        for text in row.get(name, []):
            if normalise(text) in right:
                faults.append(f"field {name!r} holds the right answer, {shown(text)}; these are to be wrong")


def _conversation(row: Mapping[str, Any], faults: list[str]) -> Row:
    """Question and answer of a chat of one turn each."""
    turns = next(row[name] for name in TURNS if name in row)
    told = [turn if isinstance(turn, dict) else {} for turn in (turns if isinstance(turns, list) else [])]
    roles = [str(turn.get("role", turn.get("from"))) for turn in told]
    if [ROLES.get(role, role) for role in roles] != ["user", "assistant"]:
        said = "a text of the user and one of the assistant; a system message goes into system_prompt"
        faults.append(f"a chat must be {said}; it has {', '.join(roles) or 'no turns'}")
        return {}
    question, answer = (turn.get("content", turn.get("value")) for turn in told)
    return {"question": question, "answer": answer}


def _hint(name: str, row: Mapping[str, Any]) -> str:
    """How to name a field that may be the one that is missing."""
    alike = {str(key).lower(): str(key) for key in row if key not in FIELDS}
    called = next((alike[one] for one in (name, *CALLED.get(name, ())) if one in alike), None)
    return f"; say data.fields: {{{name}: {called}}} if it is {called!r}" if called else nearest(name, alike)


def _hint_of_list(value: Any, name: str) -> str:
    texts = [key for key, one in value.items() if isinstance(one, str | list)] if isinstance(value, dict) else []
    return f"; say data.fields: {{{name}: {name}.{texts[0]}}} if it is in there" if texts else ""


def missing_everywhere(rows: Sequence[Mapping[str, Any]], required: Collection[str]) -> str | None:
    """What no row of a file has, and what to do about it."""
    chats = any(name in row for row in rows for name in TURNS)
    lacking = [name for name in required if not any(row.get(name) not in (None, "", []) for row in rows)]
    if len(rows) < 2 or not lacking or (chats and "question" in lacking):
        return None
    names = sorted({str(name) for row in rows for name in row})
    hints = [hint for name in lacking if (hint := _hint(name, dict.fromkeys(names)))]
    hints += [f"; {name!r} is {_wanted(name, ())}" for name in lacking if name in ALLOWED]
    what, there = " and ".join(repr(name) for name in lacking), shorten(", ".join(names), 120)
    return f"no row has a field {what} that holds something; its fields are {there}{''.join(hints)}"
