"""How far first tokens of answers move."""

import math

import pytest
import torch

from lunar.attacks.base import Target
from lunar.attacks.harmless import apart, next_token
from targets import declared


@pytest.fixture
def target(refusing: Target) -> Target:
    return declared(refusing, "amplify")


def test_next_token(target) -> None:
    rows = target.rows["retain_all"]
    found = next_token(target, rows)
    for row, one in zip(rows, found, strict=True):
        ids = torch.tensor([target.chat.encode(row["question"]).ids])
        with torch.no_grad():
            expected = target.model(ids).logits[0, -1].log_softmax(-1)
        torch.testing.assert_close(one, expected, rtol=1e-4, atol=1e-4)


def test_distributions_are_as_far_apart_as_their_divergence() -> None:
    before, after = torch.tensor([[0.5, 0.5], [0.9, 0.1]]), torch.tensor([[0.25, 0.75], [0.9, 0.1]])
    expected = (0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)) / 2
    assert apart(before.log(), after.log()) == pytest.approx(expected)
