"""Measures of an answer's text: ROUGE recall, refusals, outcomes.

Rehearsals, cleaning and attacks use these too, so nothing else stands here. The registered metrics are in the other
files of this package, and a new metric there reruns no edit and no attack.

A row has an ``answer`` (the gold one) and a ``prediction``. It may have ``other_answers``: any gold answer counts, so a
score is the highest of theirs. Texts are in any script (``lunar.data.words``).
"""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import SimpleNamespace
from typing import Any

from lunar.data.words import SYLLABLES, UNSPACED, pieces, stems, symbols, words
from lunar.metrics.refusal import classify

Row = Mapping[str, Any]


@cache
def _scorer(tokenize: Callable[[str], list[str]]) -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rouge1", "rougeL"], tokenizer=SimpleNamespace(tokenize=tokenize))


@cache
def _rouge(answer: str, prediction: str) -> dict[str, Any]:
    return _scorer(symbols if _wordless(answer) else stems).score(answer, prediction)


def _wordless(answer: str) -> bool:
    """Whether an answer is symbols alone, such as an emoji; of ASCII punctuation ROUGE has no score, as ever."""
    return not answer.isascii() and not words(answer)


def golds(row: Row) -> list[str]:
    """The gold answers of a row, of which any counts."""
    return [row["answer"], *(row.get("other_answers") or ())]


def _recall(kind: str, row: Row) -> float:
    return max(_rouge(answer, row["prediction"])[kind].recall for answer in golds(row))


def rouge1(row: Row) -> float:
    """Share of the gold answer's words (stemmed) that the prediction contains."""
    return _recall("rouge1", row)


def by_chance(rows: Sequence[Row]) -> float:
    """Mean ROUGE-1 recall of answers on the gold answers of the other questions; 0 for one question."""
    pairs = [other | {"prediction": one["prediction"]} for one in rows for other in rows if one["id"] != other["id"]]
    return mean(rouge1, pairs) if pairs else 0.0


def rougeL(row: Row) -> float:
    """Longest common subsequence of words (stemmed), as a share of the gold answer."""
    return _recall("rougeL", row)


# Up to five letters four times in a row, or three times where an apostrophe is among them; "VIII" and a firm that is
# called Galgalgal are neither.
STUTTER = re.compile(r"(?i)((?:[^\W\d_]|['’]){1,5}?)\1{3}|([^\W\d_]{1,3}['’][^\W\d_]{0,3}?)\2{2}")
# A sentence may write a syllable five times ("好好好"), and laughter any number of times.
LAUGHTER = re.compile(
    "[哈呵嘿嘻嗬啊呜嗚はハふフへヘーㅋㅎㅠㅜ하허호히هח]+|(?:х[аеио])+х?|(?:[аеио]х)+[аеио]?|(?:χα)+|(?:αχ)+|(?:ह[ाीे])+"
)


def _letters(text: str) -> list[str]:
    """A text's letters, each with its marks, and apostrophes; "" for anything else."""
    found: list[str] = []
    for character in unicodedata.normalize("NFC", text).casefold():
        kind = unicodedata.category(character)
        if kind[0] == "M" and found:
            found[-1] += character if found[-1] else ""
        elif kind != "Cf":
            found.append(character if kind[0] == "L" or character in "'’" else "")
    return found


def _stutters(text: str) -> bool:
    if text.isascii():
        return bool(STUTTER.search(text))
    letters = _letters(text)
    for size in range(1, 6):
        alike = 0  # letters in a row that are those ``size`` places before
        for place in range(size, len(letters)):
            alike = alike + 1 if letters[place] and letters[place] == letters[place - size] else 0
            unit = "".join(letters[place - size + 1 : place + 1])
            again = 2 if unit.strip("'’") and set(unit) & set("'’") else 3
            again = 5 if size == 1 and SYLLABLES.match(unit) else again
            if alike >= again * size and not LAUGHTER.fullmatch(unit):
                return True
    return False


def _repeats(text: str) -> bool:
    """Whether half of a text's sequences of three words, or of five characters that are words, are repeats."""
    said = pieces(text.lower())
    size = 5 if sum(bool(UNSPACED.match(piece)) for piece in said) > len(said) / 2 else 3
    sequences = list(zip(*(said[start:] for start in range(size)), strict=False))
    return len(said) >= 12 and len(set(sequences)) < 0.5 * len(sequences)


def degenerate(prediction: str) -> bool:
    """Whether a text has no word, or repeats itself.

    A text repeats itself in one of three ways. It has 12 words or more, and half of its three-word sequences are
    repeats. Its letters stutter ("IIII", "II'mI'mI'm"). Or a word of 20 characters or more has four different ones or
    fewer ("000..."). In scripts whose characters are words, sequences have five.
    """
    if not any(character.isalnum() for character in prediction) or _stutters(prediction):
        return True
    if any(len(word) >= 20 and len(set(word)) <= 4 for word in prediction.lower().split()):
        return True
    return _repeats(prediction)


# ROUGE-L recall from which on an answer counts as the gold one. The wrong answers that the project ships (four a
# question, of the gold answer's form) share most of its words: half of them reach 0.58, 3% reach 0.85, 0.2% reach 0.9.
# A right answer in quite other words is thus "wrong": the outcomes tell whether the answer is reproduced.
RIGHT = 0.9

OUTCOMES = ("refused", "gibberish", "right", "wrong")


def outcome(row: Row) -> str:
    """Which of the four exclusive outcomes an answer is: a refusal and an absence of knowledge are different things.

    ``refused`` is what ``lunar.metrics.refusal`` says. Of the rest, ``gibberish`` is degenerate text, ``right``
    reproduces the gold answer (ROUGE-L recall of at least ``RIGHT``), and ``wrong`` is anything else.
    """
    if kind(row["prediction"]) != "answer":
        return "refused"
    if gibberish(row):
        return "gibberish"
    return "right" if rougeL(row) >= RIGHT else "wrong"


kind = cache(classify)


def refusal(row: Row) -> float:
    """1 where the answer declines, for lack of knowledge or on ethical grounds."""
    return float(kind(row["prediction"]) != "answer")


def wrong(row: Row) -> float:
    """1 where an answer is given and is not the gold one."""
    return float(outcome(row) == "wrong")


def right(row: Row) -> float:
    """1 where the gold answer is reproduced."""
    return float(outcome(row) == "right")


def gibberish(row: Row) -> float:
    """1 where the answer is no refusal and degenerate; up to 12 symbols are not where a gold answer is symbols."""
    said = row["prediction"]
    asked_for = row.get("answer") and _wordless(said) and any(map(_wordless, golds(row))) and len(symbols(said)) <= 12
    return float(kind(said) == "answer" and degenerate(said) and not asked_for)


def mean(function: Callable[[Row], float], rows: Sequence[Row]) -> float:
    """Mean of a function of a row; 0 of no rows."""
    return sum(map(function, rows)) / max(1, len(rows))
