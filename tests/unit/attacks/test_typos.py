"""Misspelt questions."""

import pytest

from lunar.attacks.base import AttackFailed, Target
from lunar.attacks.typos import matched
from targets import declared, make


@pytest.mark.parametrize("rate", [0.02, 0.1, 0.2])
def test_misspelling(rate: float) -> None:
    text = "When was Eleni Drakoulis born, and in which part of her home city did that happen?"
    attack = make("typos", rate=rate)
    found = [attack.misspell(text, str(seed)) for seed in range(20)]
    assert len(set(found)) > 15 and text not in found and found[0] == attack.misspell(text, "0")
    hit = [(len(text) - matched(text, one)) / sum(map(str.isalpha, text)) for one in found]
    assert all(0.5 * rate <= share <= 2 * rate for share in hit)
    assert all(len(one.split()) == len(text.split()) for one in found)  # words stay apart


def test_misspelling_in_other_scripts() -> None:
    attack = make("typos", rate=0.1)
    for text in ("Где родилась Элени Дракулис?", "أين ولدت إيليني دراكوليس؟", "Eleni 德拉库利斯 ist wo geboren?"):
        found = attack.misspell(text, "0")
        assert found != text and [one for one in text if "一" < one < "龥"] == [
            one for one in found if "一" < one < "龥"
        ]


@pytest.mark.parametrize(
    "question", ["鲁克安住在哪里？", "ルークはどこにすんでいますか", "루크는 어디에 사나요?", "42?"]
)
def test_a_question_without_letters_makes_the_attack_fail(asked: Target, question: str) -> None:
    target = declared(asked, "typos")
    target.rows["forget"][1]["question"] = question
    with pytest.raises(AttackFailed, match=r"f-1: .* has no two letters side by side to swap"):
        make("typos", rate=0.1).run(target)
