"""Forget questions in other words."""

import pytest

from lunar.attacks.base import AttackFailed, Target
from lunar.errors import LunarError
from targets import declared, make


@pytest.fixture
def target(asked: Target) -> Target:
    return declared(asked, "paraphrase")


def test_paraphrases_that_are_missing_or_the_question(target: Target) -> None:
    target.rows["forget_paraphrase"][0]["question"] = " where does ETTA Crane live"
    with pytest.raises(AttackFailed, match="the question itself"):
        make("paraphrase").run(target)
    target.rows["forget_paraphrase"].pop()
    with pytest.raises(LunarError, match=r"1 forget questions have no paraphrase.*f-2.*paraphrased_question"):
        make("paraphrase").run(target)
