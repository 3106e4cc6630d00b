"""The subject's name in another spelling."""

import pytest

from lunar.attacks.base import AttackFailed, Target
from lunar.attacks.spelling import SPELLINGS
from targets import declared, make


@pytest.fixture
def target(asked: Target) -> Target:
    return declared(asked, "spelling")


@pytest.mark.parametrize(
    ("form", "name", "spelt"),
    [
        ("russian", "Haruto Minazawa", "Харуто Миназава"),
        ("russian", "Jack Shchukin-Yates", "Джак Щукин-Ятес"),
        ("initial", "Haruto Minazawa", "H. Minazawa"),
        ("initial", "Minazawa", "Minazawa"),
        ("initial", "Ana Maria Ezeobi", "A. Ezeobi"),
        ("initial", "山田 太郎", "山田 太郎"),  # an initial is a letter
    ],
)
def test_spelling(form: str, name: str, spelt: str) -> None:
    assert SPELLINGS[form](name) == spelt


def test_every_mention_is_spelt_and_nothing_else() -> None:
    row = {"author": "Haruto Minazawa", "question": "Did Haruto Minazawa, or Minazawa's son, like a minazawan Haruto?"}
    found = make("spelling", form="russian").spelt(row)
    assert found == "Did Харуто Миназава, or Миназава's son, like a minazawan Харуто?"
    firms = {"names": ["Aoros BV", "Boroc Ltd"], "question": "What do Aoros BV and Boroc Ltd share?"}
    assert make("spelling", form="russian").spelt(firms) == "What do Аорос Бв and Борок Лтд share?"
    assert make("spelling", form="russian").spelt({"question": "Who is it?"}) == "Who is it?"


def test_a_spelling_that_changes_no_question_is_caught(target: Target) -> None:
    with pytest.raises(AttackFailed, match=r"no forget question gives its subject.*as initial"):
        make("spelling", form="initial").run(target)
