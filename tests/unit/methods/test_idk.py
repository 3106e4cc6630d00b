"""Training on refusals: its losses."""

import pytest
import torch

from trained import moved


def test_losses_on_the_model(job) -> None:
    found = moved(job, "idk")
    assert found.forget == pytest.approx(-float(torch.cat(found.refused(found.after)).mean()), rel=1e-4)
    assert found.retain == pytest.approx(found.kept(), rel=1e-4)
