"""What an answer's text tells: ROUGE recall, refusals, outcomes.

Rehearsals, cleaning and attacks measure with these too, so nothing else stands here: the registered metrics are in the
other files of this package, and a new one there reruns no edit and no attack.

A row has an ``answer`` (the gold one) and a ``prediction``.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from lunar.metrics.refusal import classify

Row = Mapping[str, Any]


@cache
def _scorer() -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rouge1", "rougeL"], use_stemmer=True)


@cache
def _rouge(answer: str, prediction: str) -> dict[str, Any]:
    return _scorer().score(answer, prediction)


def rouge1(row: Row) -> float:
    """Share of the gold answer's words (stemmed) that the prediction contains."""
    return _rouge(row["answer"], row["prediction"])["rouge1"].recall


def rougeL(row: Row) -> float:
    """Longest common subsequence of words (stemmed), as a share of the gold answer."""
    return _rouge(row["answer"], row["prediction"])["rougeL"].recall


# Up to five letters four times in a row, or three times where an apostrophe is among them; "VIII" and a firm that is
# called Galgalgal are neither.
STUTTER = re.compile(r"(?i)((?:[^\W\d_]|['’]){1,5}?)\1{3}|([^\W\d_]{1,3}['’][^\W\d_]{0,3}?)\2{2}")


def degenerate(prediction: str) -> bool:
    """Whether a text has no word, or repeats itself.

    It repeats itself with 12 words and more whose three-word sequences are half repeats, with letters that stutter
    ("IIII", "II'mI'mI'm"), or with a word of 20 characters and more that is made of four or fewer ("000...").
    """
    words = prediction.lower().split()
    if not any(character.isalnum() for character in prediction) or STUTTER.search(prediction):
        return True
    if any(len(word) >= 20 and len(set(word)) <= 4 for word in words):
        return True
    trigrams = list(zip(words, words[1:], words[2:], strict=False))
    return len(words) >= 12 and len(set(trigrams)) < 0.5 * len(trigrams)


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
    prediction = row["prediction"]
    if kind(prediction) != "answer":
        return "refused"
    if degenerate(prediction):
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
    """1 where the answer is no refusal and degenerate."""
    return float(kind(row["prediction"]) == "answer" and degenerate(row["prediction"]))


def mean(function: Callable[[Row], float], rows: Sequence[Row]) -> float:
    """Mean of a function of a row; 0 of no rows."""
    return sum(map(function, rows)) / max(1, len(rows))
