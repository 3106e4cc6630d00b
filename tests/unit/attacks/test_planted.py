"""Edits that are planted, and what the end of a control says of them."""

import pytest

from lunar.attacks import planted as attacks
from lunar.attacks.base import Attacked, AttackFailed, Target
from lunar.edits.edit import applied


def test_the_control_refuses_what_brings_nothing_back() -> None:
    def rows(text):
        return [{"id": "1", "question": "Q", "answer": "A goose lives here.", "prediction": text}]

    refusal, answer = rows("I'm sorry, but I do not know."), rows("A goose lives here.")
    assert attacks.judged(refusal, Attacked({"forget": answer}))["attacked"] == 1.0
    with pytest.raises(AttackFailed, match="was to be undone"):
        attacks.judged(refusal, Attacked({"forget": refusal}))
    with pytest.raises(AttackFailed, match="the planted edit refuses 0%"):
        attacks.judged(answer, Attacked({"forget": answer}))


def test_a_control_that_fails_at_the_chosen_block_is_tried_at_the_next() -> None:
    scores = {"20": {"score": 0.1}, "24": {"score": 0.3}, "28": {"score": 0.4}}
    target = Target("", chosen={"best": 28, "layers": scores})
    tried: list[int] = []

    def attempt(holds_at: int) -> dict[str, int]:
        tried.append(target.best)
        attacks.expect(target.best == holds_at, "not undone")
        return {"block": target.best}

    found = attacks.at_some_block(target, lambda: attempt(24))
    assert tried == [28, 24] and found["block"] == 24 and list(found["failed"]) == ["28"] and target.best == 28
    assert attacks.at_some_block(target, lambda: attempt(28)) == {"block": 28}
    tried.clear()
    with pytest.raises(AttackFailed, match=r"block 28: not undone.*; planted at block 24: .*; planted at block 20: "):
        attacks.at_some_block(target, lambda: attempt(4))
    assert tried == [28, 24, 20] and target.best == 28
    bare = Target("", chosen={"best": 2})
    assert attacks.at_some_block(bare, lambda: {"block": bare.best}) == {"block": 2}


def test_controls_of_a_job_plant_an_edit_once_a_block(refusing: Target, monkeypatch) -> None:
    made = []
    monkeypatch.setattr(attacks, "_made", lambda target, layer: made.append(layer) or {})
    first = attacks.plant(refusing)
    assert attacks.plant(refusing) is first
    refusing.chosen = {"best": 0}
    attacks.plant(refusing)
    assert made == [1, 0]


def test_what_a_model_says_alone_is_asked_once_for_each_edit(refusing: Target, planted) -> None:
    with applied(refusing.model, planted):
        changed = refusing.alone()
        assert refusing.alone() is changed
    assert refusing.alone() is not changed
    assert refusing.alone() == refusing.answer({"forget": refusing.rows["forget"]})["forget"]
