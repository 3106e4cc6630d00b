"""How like a refusal answers are."""

import pytest

from known_answers import REFUSAL, SENTENCE, evaluate, row
from lunar.metrics.refusal_quality import refusal_quality


def test_refusal_quality_is_the_mean_of_highest_cosines() -> None:
    similar = [row(SENTENCE, REFUSAL) | {"similarity": value} for value in (0.9, 0.5, 0.4)]
    assert refusal_quality(similar[0]) == 0.9
    found = evaluate({"forget": similar}, 10, 0).metrics["splits"]["forget"]["refusal_quality"]
    assert found["mean"] == pytest.approx(0.6)
    some = evaluate({"forget": [*similar, row(SENTENCE, "")]}, 10, 0).metrics["splits"]["forget"]["refusal_quality"]
    assert some == {"reason": "no embeddings were computed"}
