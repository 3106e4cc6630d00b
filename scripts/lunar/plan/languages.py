"""What of an experiment hangs on the language of its rows, for ``check``."""

from collections.abc import Mapping, Sequence
from typing import Any

from lunar.data.languages import languages, named, unjudged
from lunar.data.words import SYLLABLES, UNSPACED, words
from lunar.metrics import refusal
from lunar.plan.machine import NOTE, OK, STOP, Line

SHOWN = ("forget", "retain", "unseen", "general", "harmful", "fictitious", "refusals")


def spoken(settings: Mapping[str, Any], rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Line]:
    """Which languages an experiment's rows are in, and what cannot judge or ask in them.

    Args:
        settings: its configuration, merged and checked.
        rows: its splits, as they should be.
    """
    found = {name: languages([*rows.get(f"{name}_build", ()), *rows[name]]) for name in SHOWN}
    lines = [Line(OK, "languages", _said(found))]
    for code, text in unjudged(found, refusal.languages()).items():
        remedy = f"answers count as given; to judge them add scripts/lunar/metrics/refusals/{code}.toml"
        lines.append(Line(NOTE, "languages", text, remedy))
    lines += wordless(rows)
    asked = next(iter(found["forget"]), "en")
    if asked == "en":
        return lines
    language, stems = named(asked), not any(UNSPACED.search(row["answer"]) for row in rows["forget"])
    english = ["RQ measures with an embedder for English"] if _english(settings["embedder"]["name"]) else []
    english += ["ROUGE stems English words alone, so other forms of a word count as other words"] if stems else []
    if english:
        lines.append(
            Line(NOTE, "languages", f"{language} forget set: {'; '.join(english)}", "compare with that in mind")
        )
    if asked not in found["refusals"]:
        what = f"forget set in {language}, refusals in {', '.join(map(named, found['refusals']))}"
        lines.append(Line(NOTE, "languages", what, "name refusals in its language under data.refusals"))
    return lines + attacks(settings, rows["forget"], asked)


def _said(found: Mapping[str, Mapping[str, int]]) -> str:
    if len({code for counts in found.values() for code in counts}) == 1:
        return named(next(code for counts in found.values() for code in counts))
    return "; ".join(
        f"{name} {', '.join(f'{named(code)} {n}' if len(counts) > 1 else named(code) for code, n in counts.items())}"
        for name, counts in found.items()
        if counts
    )


def _english(embedder: str) -> bool:
    return "all" in embedder.lower() and "minilm" in embedder.lower() and "multilingual" not in embedder.lower()


def wordless(rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Line]:
    """Gold answers that ROUGE can compare nothing of."""
    ids = [str(row["id"]) for name in ("forget", "retain", "unseen", "general") for row in rows[name]
           if row["answer"].isascii() and not words(row["answer"])]  # fmt: skip
    if not ids:
        return []
    what = (
        f"{len(ids)} gold answers have neither letter nor digit, so ROUGE is 0 whatever is answered ({ids[0]!r} first)"
    )
    return [Line(NOTE, "languages", what, "say in words what is to be answered")]


def attacks(settings: Mapping[str, Any], forget: Sequence[Mapping[str, Any]], asked: str) -> list[Line]:
    """Attacks that put words of another language around a question, and those that need letters.

    Args:
        settings: as for ``spoken``.
        forget: the forget set.
        asked: the language that most of it is in.
    """
    lines = []
    attacked = settings["attacked"]
    entries = {name: settings["attacks"][name] for name in (attacked["attacks"] if attacked["methods"] else ())}
    foreign = []
    for name, entry in entries.items():
        text = str(entry.get("text") or "").replace("{question}", "")
        if text and asked not in languages([{"question": text}]):
            foreign.append(name)
        if entry["attack"] == "typos" and any(SYLLABLES.search(row["question"]) for row in forget):
            remedy = "leave it out of attacked.attacks"
            lines.append(Line(STOP, "languages", f"attack {name} swaps letters, and {named(asked)} has none", remedy))
    if foreign:
        what = f"attacks {', '.join(foreign)} have words in another language than the forget set ({named(asked)})"
        lines.append(Line(NOTE, "languages", what, "state their text anew under attacks"))
    return lines
