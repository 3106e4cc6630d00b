"""Negative preference optimisation without a reference model: the formula, and the losses on the model."""

import math

import pytest
import torch

from lunar.methods.simnpo import simple_negative_preference_loss
from trained import moved


def test_simple_negative_preference_loss_by_hand() -> None:
    found = simple_negative_preference_loss(torch.tensor([-1.0, -3.0]), 2.0, 0.5)
    expected = [math.log(1 + math.exp(2.0 * mean + 0.5)) for mean in (-1.0, -3.0)]
    assert float(found) == pytest.approx(sum(expected) / 2)


def test_losses_on_the_model(job) -> None:
    found = moved(job, "simnpo")
    terms = [math.log(1 + math.exp(2.0 * float(new.mean()) + 0.1)) for new in found.gold(found.after)]
    assert found.forget == pytest.approx(sum(terms) / 2, rel=1e-4)
    assert found.retain == pytest.approx(found.kept(), rel=1e-4)
