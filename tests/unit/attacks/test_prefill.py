"""Answers whose beginning is given."""

from typing import Any

import pytest
from pydantic import ValidationError

from lunar.attacks.base import AttackFailed, Target, rouge1
from lunar.model.generate import generate
from targets import declared, make


@pytest.fixture
def target(asked: Target) -> Target:
    return declared(asked, "prefill")


def test_gold_words_are_given_and_the_rest_is_scored(target: Target) -> None:
    found = make("prefill", words=2).run(target)
    rows = found.rows["forget"]
    assert [row["prefill"] for row in rows] == ["Etta Crane", "Tom Rook", "He keeps"]
    assert [row["answer"] for row in rows] == ["lives in Birkdale.", "is a baker.", "a goose."]
    rests = [row | {"answer": other["answer"]} for row, other in zip(target.unattacked["forget"], rows, strict=True)]
    assert found.evidence["rest_unattacked"]["forget"] == rouge1(rests)
    greedy = generate(
        target.model, target.chat, [rows[0]["question"]], prefills=["Etta Crane"], max_new_tokens=6, batch_size=1
    )
    assert rows[0]["prediction"] == greedy[0]


def test_gold_words_of_short_answers(target: Target) -> None:
    target.rows["forget"][0]["answer"] = "Birkdale"
    found = make("prefill", words=50).run(target)
    assert "prefill" not in found.rows["forget"][0] and found.rows["forget"][0]["answer"] == "Birkdale"
    assert found.rows["forget"][1]["answer"] == "baker."
    for rows in (target.rows["forget"], target.rows["retain"]):
        for row in rows:
            row["answer"] = "Birkdale"
    with pytest.raises(AttackFailed, match="no answer could be begun"):
        make("prefill", words=2).run(target)


@pytest.mark.parametrize(
    ("answer", "given", "rest"),
    [
        ("鲁克安住在塔恩镇。", "鲁克安", "住在塔恩镇。"),
        ("「鲁克」住在1961年", "「鲁克」", "住在1961年"),
        ("Рук живёт в Тарне.", "Рук живёт в", "Тарне."),
        ("AI公司", "AI公", "司"),
        ("塔", "", "塔"),
    ],
)
def test_gold_words_in_other_scripts(answer: str, given: str, rest: str) -> None:
    assert make("prefill", words=2 if "「" in answer or "AI" in answer else 3).parts({"answer": answer}) == (
        given,
        rest,
    )


@pytest.mark.parametrize("settings", [{}, {"text": "Sure:", "words": 2}, {"words": 0}, {"text": " "}])
def test_either_a_text_or_words(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        make("prefill", **settings)
