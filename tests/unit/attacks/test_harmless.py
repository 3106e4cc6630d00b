"""How far first tokens of answers move."""

import math

import pytest
import torch

from lunar.activations.hooks import counted
from lunar.attacks.base import Target
from lunar.attacks.harmless import FirstTokens, apart, next_token
from lunar.model.load import blocks, down_proj
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


def test_first_tokens_from_a_kept_stream_are_those_of_whole_passes(target) -> None:
    """While the blocks above change; those below are not run, and count as they were."""
    rows = target.rows["retain_all"]
    asked = FirstTokens(target, rows, [0, 1, 2])
    assert torch.equal(asked.before, next_token(target, rows))
    for block in (2, 1, 0):
        with torch.no_grad():
            down_proj(target.model, block).weight.mul_(2)
        with counted(list(blocks(target.model)[block:])) as calls:
            found = asked.logprobs(block)
        assert torch.equal(found, next_token(target, rows))
        assert not torch.equal(found, asked.before)
        assert calls == [1] * (3 - block)
    assert not torch.equal(asked.logprobs(2), found)


def test_blocks_that_read_keys_of_others_are_all_run(target) -> None:
    target.model.config.num_kv_shared_layers = 1
    asked = FirstTokens(target, target.rows["retain_all"], [2])
    with counted([blocks(target.model)[0]]) as calls:
        asked.logprobs(2)
    assert calls == [1]


def test_distributions_are_as_far_apart_as_their_divergence() -> None:
    before, after = torch.tensor([[0.5, 0.5], [0.9, 0.1]]), torch.tensor([[0.25, 0.75], [0.9, 0.1]])
    expected = (0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)) / 2
    assert apart(before.log(), after.log()) == pytest.approx(expected)
