"""Gradient ascent with a divergence: the formula, and the losses on the model."""

import math

import pytest
import torch

from lunar.methods.kl import divergence
from trained import moved


def test_divergence_by_hand() -> None:
    """KL((3/4, 1/4) || (1/2, 1/2)) and 0: reference first."""
    reference = torch.tensor([[math.log(3.0), 0.0], [1.0, 2.0]])
    logits = torch.tensor([[5.0, 5.0], [3.0, 4.0]])
    expected = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert float(divergence(reference, logits)) == pytest.approx(expected / 2, rel=1e-5)


def test_losses_on_the_model(job) -> None:
    found = moved(job, "kl")
    assert found.forget == pytest.approx(float(torch.cat(found.gold(found.after)).mean()), rel=1e-4)
    parts = []
    with torch.no_grad():
        for one in found.run.retain:
            p, q = (
                model(torch.tensor([one.ids])).logits[0, one.prompt_length - 1 : -1].log_softmax(-1)
                for model in (found.before, found.after)
            )
            parts.append((p.exp() * (p - q)).sum(1))
    assert found.retain == pytest.approx(float(torch.cat(parts).mean()), rel=1e-3)
    assert found.retain > 1e-5
