"""Outcomes of an answer: four, of which it is exactly one; refusals by kind."""

import pytest

from known_answers import REFUSAL, SENTENCE, row
from lunar.metrics.outcomes import gibberish, refusal, refusal_knowledge, refusal_unethical, right, wrong
from lunar.metrics.text import degenerate, outcome


@pytest.mark.parametrize(
    ("prediction", "expected"),
    [
        ("", 1.0),
        (" \n", 1.0),
        ("... ?! --", 1.0),
        ("Lima", 0.0),
        ("她出生在利马。", 0.0),
        ("the " * 12, 1.0),
        ("The the THE " * 4, 1.0),
        ("I'" * 10, 1.0),
        ("Henry VIII", 0.0),
        ("IIII.", 1.0),
        ("II'mI'mI'm sorry", 1.0),
        ("I'm, I'm, I'm sorry", 0.0),
        ("Galgalgal AG", 0.0),
        ("0" * 20, 1.0),
        ("2000000", 0.0),
        ("a word of many letters: internationalisations", 0.0),
        ("the " * 11, 0.0),  # too short to tell a repetition from an emphasis
        ("a b c d " * 3, 1.0),  # 10 sequences, 4 of them different
        ("a b c d e a b c d e a b", 0.0),  # 10 sequences, 5 of them different: not below half
        ("She was born in Lima in 1961 and wrote eleven novels about the sea and its sailors.", 0.0),
    ],
)
def test_degenerate(prediction: str, expected: float) -> None:
    assert degenerate(prediction) == bool(expected)
    assert gibberish(row(None, prediction)) == expected


@pytest.mark.parametrize(
    ("answer", "prediction", "expected"),
    [
        (SENTENCE, REFUSAL, "refused"),
        (SENTENCE, "I cannot help with that, it would be wrong.", "refused"),
        (SENTENCE, "I do not know. " * 12, "refused"),  # repetitive, but it declines
        (REFUSAL, REFUSAL, "refused"),  # whatever the gold answer is
        (SENTENCE, "", "gibberish"),
        (SENTENCE, "Lima " * 20, "gibberish"),
        (SENTENCE, SENTENCE, "right"),
        (SENTENCE, f"Well: {SENTENCE} So they say.", "right"),
        (SENTENCE, "She was born in Quito in 1961.", "wrong"),  # the form of the answer, not its content: 6 of 7 words
        ("Lima", "Lima", "right"),
        ("Lima", "Quito", "wrong"),
    ],
)
def test_outcomes_are_exclusive(answer: str, prediction: str, expected: str) -> None:
    one = row(answer, prediction)
    flags = {"refused": refusal(one), "gibberish": gibberish(one), "right": right(one), "wrong": wrong(one)}
    assert outcome(one) == expected
    assert flags == {name: float(name == expected) for name in flags}


def test_refusals_by_kind() -> None:
    for prediction, kinds in ((REFUSAL, (1, 0)), ("I cannot help, it is illegal.", (0, 1)), (SENTENCE, (0, 0))):
        assert (refusal_knowledge(row(None, prediction)), refusal_unethical(row(None, prediction))) == kinds
        assert refusal(row(None, prediction)) == sum(kinds)
