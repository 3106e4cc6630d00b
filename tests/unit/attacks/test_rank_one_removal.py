"""The estimated direction taken out of a weight."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch

from lunar.attacks import rank_one_removal
from lunar.attacks.base import AttackFailed, Target
from lunar.attacks.rank_one_removal import outlying, sharpened
from lunar.edits.edit import applied
from lunar.model.load import down_proj
from targets import declared, make, unchanged, weights

VECTOR = torch.randn(16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
RANK = {"prompts": 3, "tokens": 3, "outlier": 4.0}


@pytest.fixture
def target(refusing: Target) -> Target:
    return declared(refusing, "rank_one_removal")


def test_outlying() -> None:
    scores = outlying(np.array([1.0, 1.1, 0.9, 1.05, 9.0]))
    assert scores.argmax() == 4
    assert scores[4] > 50 > 4 > scores[:4].max()
    assert np.isfinite(outlying(np.ones(4))).all()


def test_sharpened(llama) -> None:
    weight = down_proj(llama, 0).weight.detach().double()
    rough = VECTOR / VECTOR.norm() + 0.8 * torch.randn(16, generator=torch.Generator().manual_seed(3)).double()
    change = 100 * torch.outer(VECTOR / VECTOR.norm(), torch.nn.functional.normalize(torch.ones(40).double(), dim=0))
    found = sharpened(weight + change, rough / rough.norm())
    assert abs(float(found @ VECTOR) / float(VECTOR.norm())) > 0.99
    torch.testing.assert_close(found.norm(), torch.tensor(1.0).double())


def test_a_planted_edit_is_found_and_removed(target, planted) -> None:
    before = weights(target)
    with applied(target.model, planted):
        target.edit = planted
        during = weights(target)
        found = make("rank_one_removal", **RANK).run(target).evidence
        assert unchanged(target, during)
    assert unchanged(target, before)
    assert found["suspected"] == found["edited"] == found["right"] == [1]
    assert found["removed"]["1"]["distance"] < 0.3
    assert found["removed"]["1"]["left"] < 1e-4


def test_a_weight_that_is_not_changed_is_caught(target, planted) -> None:
    weight = down_proj(target.model, 1).weight.detach().double().clone()
    attack = make("rank_one_removal", **RANK)
    with pytest.raises(AttackFailed, match="still writes 1 along r"):
        attack.removed(target, 1, VECTOR / VECTOR.norm(), weight)
    # Nothing along the direction to begin with, and nothing moved.
    unit = VECTOR / VECTOR.norm()
    with torch.no_grad():
        down_proj(target.model, 1).weight.copy_(weight - torch.outer(unit, unit @ weight))
    still = down_proj(target.model, 1).weight.detach().double().clone()
    other = still + 1e-12 * torch.outer(unit, torch.ones(40).double())
    with pytest.raises(AttackFailed):
        attack.removed(target, 1, unit, other)


def test_a_weight_that_is_not_put_back_is_caught(target, planted, monkeypatch) -> None:
    monkeypatch.setattr(rank_one_removal, "weights_kept", lambda *given: nullcontext())
    with pytest.raises(AttackFailed, match="not put back"):
        make("rank_one_removal", **RANK).run(target)
