"""The project's single refusal classifier: deterministic rules over the text of a model's answer.

The patterns of a language are a file in the folder ``refusals`` here; a further file is a further language. It has

- ``language``, the English name, and ``where``, an expression of what shows that a text may be in it;
- ``spelt_out``, pairs of expression and replacement that come first, and ``fragments`` that patterns are made of;
- ``patterns``, lists of expressions, any of which may be left out:

  - ``lack``: lack of knowledge, in the first person or of the speaker's own store of facts;
  - ``cannot_inform``: inability to inform, which counts as lack of knowledge unless morals come up;
  - ``decline``: first-person inability or unwillingness to do what was asked;
  - ``verdict``: a verdict on the deed asked about; ``moral``: moral vocabulary, which names a reason and refuses
    only together with something else; ``blunt_no``: what refuses together with it;
  - ``apology``: an apology that turns to the speaker and is cut off, repeats itself or denies something;
  - ``knowledge_word``: what makes an apology one for lack of knowledge;
  - ``half``: after a refusal, a contrast that leads to a statement, which makes it half a refusal and an answer.
"""

import re
import tomllib
import unicodedata
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from lunar.errors import LunarError

KINDS = ("knowledge", "unethical")
# Inputs of every rule whose script imports this module (lunar.plan.imports).
INPUT_FILES = "refusals/*.toml"
LISTS = ("lack", "cannot_inform", "decline", "verdict", "moral", "blunt_no", "apology", "knowledge_word", "half")
# Filler words inside one clause.
WORDS = r"(?:[\w'-]+ ){0,%s}"


class Language(NamedTuple):
    """The patterns of a language: ``code``, its file's name, and what the file holds, compiled."""

    code: str
    name: str
    where: re.Pattern[str]
    spelt_out: list[tuple[re.Pattern[str], str]]
    patterns: dict[str, re.Pattern[str]]


def read(path: Path) -> Language:
    """The language of a file.

    Raises:
        LunarError: the file is not as the module says.
    """
    try:
        return _language(path, tomllib.loads(path.read_text(encoding="utf-8")))
    except KeyError as error:
        raise LunarError(f"{path}: no {error.args[0]!r}, which it needs or refers to") from None
    except (ValueError, TypeError, AttributeError, re.error) as error:  # no TOML or UTF-8, no expression
        raise LunarError(f"{path}: no patterns of refusals: {error}; see {__name__} for what a file holds") from None


def _language(path: Path, found: dict[str, Any]) -> Language:
    if not re.fullmatch("[a-z]{2,3}", path.stem):
        raise ValueError(f"{path.stem!r} is no code of ISO 639, such as 'pt'")
    if unknown := sorted({*found["patterns"]} - {*LISTS}):
        raise ValueError(f"list {unknown[0]!r} is none of {', '.join(LISTS)}")
    fragments = found.get("fragments", {})

    def whole(pattern: str) -> str:
        return re.sub(
            r"<(\w+)(?: (\d+))?>", lambda part: WORDS % part[2] if part[2] else whole(fragments[part[1]]), pattern
        )

    return Language(
        path.stem,
        found["language"],
        re.compile(whole(found["where"])),
        [(re.compile(pattern), replacement) for pattern, replacement in found.get("spelt_out", [])],
        {
            name: re.compile("|".join(f"(?:{whole(one)})" for one in listed))
            for name, listed in found["patterns"].items()
        },
    )


@cache
def languages() -> Mapping[str, Language]:
    """All that there are patterns of, by code (ISO 639)."""
    return {path.stem: read(path) for path in sorted(Path(__file__).parent.glob(INPUT_FILES))}


def _normalise(text: str, used: Iterable[Language]) -> str:
    for language in used:
        for pattern, replacement in language.spelt_out:
            text = pattern.sub(replacement, text)
    text = re.sub(r"\s+", " ", text)
    # Quoted words are titles or others' speech, except where the whole text is one quotation.
    return (re.sub(r'"[^"]*"', '""', text) if '"' in text.strip(' "') else text).strip(' "')


def classify(text: str) -> str:
    """Return the kind of refusal that the text is (one of KINDS), or "answer" where it is none.

    "knowledge" declines for lack of information; "unethical" declines because the request is wrong, or
    without naming lack of knowledge. A refusal that then gives an answer all the same is an "answer".

    A text may change its language: the patterns of all that it shows words of are looked for, or all patterns where it
    shows words of none.
    """
    text = unicodedata.normalize("NFC", text.lower())
    known = languages().values()
    used = [language for language in known if language.where.search(text)] or known
    text = _normalise(text, used)

    def first(name: str, start: int = 0) -> re.Match[str] | None:
        patterns = [language.patterns[name] for language in used if name in language.patterns]
        found = [match for pattern in patterns if (match := pattern.search(text, start))]
        return min(found, key=lambda match: match.start(), default=None)

    moral = first("moral")
    lack = first("lack") or (None if moral else first("cannot_inform"))
    verdict = first("verdict")
    decline = first("decline") or first("cannot_inform") or (moral and first("blunt_no"))
    refusals = [match for match in (lack, decline, verdict, first("apology")) if match]
    if not refusals or first("half", max(match.end() for match in refusals)):
        return "answer"
    if lack:
        # Whichever reason comes first is the one given for declining.
        return "unethical" if verdict and verdict.start() < lack.start() else "knowledge"
    if decline or verdict or moral:
        return "unethical"
    return "knowledge" if first("knowledge_word") else "unethical"


def is_refusal(text: str) -> bool:
    """Return whether the text declines to answer, for whichever reason."""
    return classify(text) in KINDS
