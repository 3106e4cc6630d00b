"""Negative preference optimisation: the formula, and the losses on the model."""

import math

import pytest
import torch

from lunar.methods.npo import negative_preference_loss
from trained import gains, moved


def test_negative_preference_loss_by_hand() -> None:
    found = negative_preference_loss(torch.tensor([0.0, -4.0]), 0.5)
    assert float(found) == pytest.approx(4 * (math.log(2) + math.log(1 + math.exp(-2.0))) / 2)


def test_npo_tends_to_gradient_ascent() -> None:
    """Section 3.2 of the paper: at small beta its gradient is that of the log-likelihood."""
    gain = torch.tensor([-0.3, -2.0], requires_grad=True)
    negative_preference_loss(gain, 1e-4).backward()
    torch.testing.assert_close(gain.grad, torch.full((2,), 0.5), rtol=1e-3, atol=0)


def test_losses_on_the_model(job) -> None:
    found = moved(job, "npo")
    terms = [math.log(1 + math.exp(0.5 * gain)) for gain in gains(found.gold(found.after), found.gold(found.before))]
    assert found.forget == pytest.approx(4.0 * sum(terms) / 2, rel=1e-4)
    assert found.retain == pytest.approx(found.kept(), rel=1e-4)
