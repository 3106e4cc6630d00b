"""Negative preference optimisation without a reference model."""

from collections.abc import Sequence

import torch
from pydantic import Field
from torch.nn import functional as F

from lunar.methods.base import method
from lunar.methods.settings import Retaining
from lunar.methods.training import Run, TrainedMethod
from lunar.plan.declare import Positive


def simple_negative_preference_loss(mean: torch.Tensor, beta: float, gamma: float) -> torch.Tensor:
    """SimNPO (Fan et al. 2024, equation 4).

    Args:
        mean: log-likelihood of the answer a token of it, shape (rows,).
        beta: as in NPO.
        gamma: margin by which the likelihood is to fall.
    """
    return -2 / beta * F.logsigmoid(-beta * mean - gamma).mean()


@method("simnpo", needs=("model", "rows"))
class SimNpo(TrainedMethod):
    """NPO without a reference, normalised by length (Fan et al. 2024)."""

    class Settings(Retaining):
        """With the sharpness of the preference, and its margin."""

        beta: Positive = Field(description="A larger beta needs a smaller loss of likelihood.")
        gamma: float = Field(description="Margin by which the mean log-likelihood has to fall.")

    def forget_loss(self, run: Run, rows: Sequence[int]) -> torch.Tensor:
        """See ``simple_negative_preference_loss``."""
        means = -torch.stack([losses.mean() for losses in run.losses([run.forget[i] for i in rows])])
        return simple_negative_preference_loss(means, self.settings.beta, self.settings.gamma)
