"""Direct preference optimisation: the formula, and the losses on the model."""

import math

import pytest
import torch

from lunar.methods.dpo import preference_loss
from trained import gains, moved


def test_preference_loss_by_hand() -> None:
    found = preference_loss(torch.tensor([0.0, 2.0]), 0.5)
    assert float(found) == pytest.approx((math.log(2) + math.log(1 + math.exp(-1.0))) / 2)


def test_losses_on_the_model(job) -> None:
    found = moved(job, "dpo")
    gold, refused = (gains(answers(found.after), answers(found.before)) for answers in (found.gold, found.refused))
    terms = [math.log(1 + math.exp(-0.5 * (other - one))) for one, other in zip(gold, refused, strict=True)]
    assert found.forget == pytest.approx(sum(terms) / 2, rel=1e-4)
    assert found.retain == pytest.approx(found.kept(), rel=1e-4)
