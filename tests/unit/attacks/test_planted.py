"""Edits that are planted, and what the end of a control says of them."""

import pytest

from lunar.attacks import planted as attacks
from lunar.attacks.base import Attacked, AttackFailed


def test_the_control_refuses_what_brings_nothing_back() -> None:
    def rows(text):
        return [{"id": "1", "question": "Q", "answer": "A goose lives here.", "prediction": text}]

    refusal, answer = rows("I'm sorry, but I do not know."), rows("A goose lives here.")
    assert attacks.judged(refusal, Attacked({"forget": answer}))["attacked"] == 1.0
    with pytest.raises(AttackFailed, match="was to be undone"):
        attacks.judged(refusal, Attacked({"forget": refusal}))
    with pytest.raises(AttackFailed, match="the planted edit refuses 0%"):
        attacks.judged(answer, Attacked({"forget": answer}))
