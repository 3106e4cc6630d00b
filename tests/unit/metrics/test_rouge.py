"""ROUGE recall by hand, and against the package that it wraps."""

import random

import pytest
from rouge_score.rouge_scorer import RougeScorer

from known_answers import SENTENCE, row
from lunar.metrics.rouge import rouge1, rougeL


@pytest.mark.parametrize(
    ("answer", "prediction", "first", "longest"),
    [
        (SENTENCE, SENTENCE, 1.0, 1.0),
        (SENTENCE, "SHE was born, in Lima -- in 1961", 1.0, 1.0),  # neither case nor punctuation counts
        (SENTENCE, "", 0.0, 0.0),
        (SENTENCE, "?!", 0.0, 0.0),
        ("Lima", "Lima", 1.0, 1.0),
        ("Lima", "Perhaps in Lima or in Quito", 1.0, 1.0),  # recall: what is said beside it costs nothing
        ("Lima", "Quito", 0.0, 0.0),
        # the, cat, sat, on, the, mat: five of six, `the` twice because it is there twice; in order sat, on, the, mat.
        ("The cat sat on the mat.", "The dog sat on the mat; cat.", 1.0, 5 / 6),
        ("The cat sat on the mat.", "A cat on the mat.", 4 / 6, 4 / 6),
        ("The cat sat on the mat.", "On the mat the cat.", 5 / 6, 3 / 6),
        ("the the the", "the", 1 / 3, 1 / 3),
        ("novels painting", "novel paints", 1.0, 1.0),  # stems
    ],
)
def test_rouge_by_hand(answer: str, prediction: str, first: float, longest: float) -> None:
    assert rouge1(row(answer, prediction)) == pytest.approx(first)
    assert rougeL(row(answer, prediction)) == pytest.approx(longest)


def test_rouge_is_the_recall_of_the_reference_package() -> None:
    draw = random.Random(0)
    words = "she he was born in Lima Quito writes wrote novels a the of 1961 painter's paintings, sea".split()
    scorer = RougeScorer(["rouge1", "rougeL"], use_stemmer=True)
    for _ in range(50):
        answer, prediction = (" ".join(draw.choices(words, k=draw.randint(1, 15))) for _ in range(2))
        expected = scorer.score(target=answer, prediction=prediction)
        assert rouge1(row(answer, prediction)) == expected["rouge1"].recall
        assert rougeL(row(answer, prediction)) == expected["rougeL"].recall
