"""Misspelt questions."""

import pytest

from lunar.attacks.typos import matched
from targets import make


@pytest.mark.parametrize("rate", [0.02, 0.1, 0.2])
def test_misspelling(rate: float) -> None:
    text = "When was Eleni Drakoulis born, and in which part of her home city did that happen?"
    attack = make("typos", rate=rate)
    found = [attack.misspell(text, str(seed)) for seed in range(20)]
    assert len(set(found)) > 15 and text not in found and found[0] == attack.misspell(text, "0")
    hit = [(len(text) - matched(text, one)) / sum(map(str.isalpha, text)) for one in found]
    assert all(0.5 * rate <= share <= 2 * rate for share in hit)
    assert all(len(one.split()) == len(text.split()) for one in found)  # words stay apart
