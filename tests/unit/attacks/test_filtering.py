"""What filters of activations share."""

import pytest
import torch

from lunar.attacks import filtering
from lunar.attacks.base import Target
from lunar.model.hooks import capture
from lunar.model.load import down_proj
from targets import declared, make

FILTER = {"prompts": 3, "ridge": 1.0, "screened": 2, "most_kl": 1.0}


@pytest.fixture
def target(refusing: Target) -> Target:
    return declared(refusing, "filter")


def test_the_filtered_weight_is_the_ridge_solution_and_drops_what_kept_tokens_do_not_show() -> None:
    draw = torch.Generator().manual_seed(1)
    weight = torch.randn(5, 8, generator=draw, dtype=torch.float64)
    tokens = torch.randn(40, 8, generator=draw, dtype=torch.float64)
    tokens[:, -1] = 0  # nothing that is kept ever goes this way
    moments, ridge = tokens.T @ tokens, 0.3
    amount = ridge * moments.trace() / 8
    rows = torch.cat([tokens, amount.sqrt() * torch.eye(8, dtype=torch.float64)])
    aims = torch.cat([tokens @ weight.T, torch.zeros(8, 5, dtype=torch.float64)])
    expected = torch.linalg.lstsq(rows, aims).solution.T
    torch.testing.assert_close(weight - filtering.lost(weight, moments, ridge), expected)
    left = weight - filtering.lost(weight, moments, 1e-9)
    torch.testing.assert_close(left[:, :-1], weight[:, :-1], atol=1e-6, rtol=0)
    assert left[:, -1].abs().max() < 1e-6


def test_the_moments_are_those_of_the_attackers_tokens_however_many_blocks_are_held(target, monkeypatch) -> None:
    attack = make("filter", **FILTER)
    conversations, _ = attack.observe(target)
    whole = dict(attack.moments(target, range(3)))
    monkeypatch.setattr(filtering, "HELD", 1)
    for block, one in attack.moments(target, range(3)):
        assert torch.equal(one, whole[block])
    with torch.no_grad(), capture({}, {1: down_proj(target.model, 1)}) as (_, inputs):
        summed = torch.zeros(40, 40, dtype=torch.float64)
        for one in conversations:
            target.model(torch.tensor([one.ids]))
            summed += inputs[1][0].double().T @ inputs[1][0].double()
    torch.testing.assert_close(whole[1], summed, rtol=1e-3, atol=1e-4)
