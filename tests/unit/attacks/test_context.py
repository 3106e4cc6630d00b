"""Answers about others, earlier in the conversation."""

import pytest

from lunar.attacks.base import AttackFailed, Target
from lunar.attacks.context import Context
from lunar.errors import LunarError
from targets import declared, make


@pytest.fixture
def target(asked: Target) -> Target:
    return declared(asked, "context")


def test_examples_are_about_others(target: Target) -> None:
    attack = make("context", examples=3)
    for row in (*target.rows["forget"], *target.rows["retain"]):
        shown = attack.examples(target, row)
        assert row["id"] not in [one["id"] for one in shown]
        assert len({one["author"] for one in shown} - {row["author"]}) == 3
    with pytest.raises(LunarError, match="ask for fewer"):
        make("context", examples=6).run(target)


def test_examples_are_about_other_pairs(target: Target) -> None:
    for number, row in enumerate(target.rows["retain_all"]):
        del row["author"]
        row["names"] = ["Aoros BV", f"Firm {number % 3}"]
    row = target.rows["forget"][0] = {"id": "f", "names": ["Aoros BV", "Firm 0"], "question": "Who?", "answer": "He."}
    shown = make("context", examples=2).examples(target, row)
    assert {tuple(one["names"]) for one in shown} == {("Aoros BV", "Firm 1"), ("Aoros BV", "Firm 2")}


def test_the_question_among_the_examples_is_caught(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Context, "examples", lambda self, target, row: [row, row])
    with pytest.raises(AttackFailed, match="among the examples"):
        make("context", examples=2).run(target)
