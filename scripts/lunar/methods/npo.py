"""Negative preference optimisation."""

from collections.abc import Sequence

import torch
from pydantic import Field
from torch.nn import functional as F

from lunar.methods.base import method
from lunar.methods.settings import Retaining
from lunar.methods.training import Run, TrainedMethod, total
from lunar.plan.declare import Positive


def negative_preference_loss(gain: torch.Tensor, beta: float) -> torch.Tensor:
    """NPO (Zhang et al. 2024, equation 3).

    Args:
        gain: log-likelihood of the answer over the reference model's, shape (rows,).
        beta: how soon a loss of likelihood is enough; towards 0 this is gradient ascent.
    """
    return -2 / beta * F.logsigmoid(-beta * gain).mean()


@method("npo", needs=("model", "rows"))
class Npo(TrainedMethod):
    """Negative preference optimisation (Zhang et al. 2024), with a retain loss: NPO+RT there."""

    class Settings(Retaining):
        """With the sharpness of the preference."""

        beta: Positive = Field(description="A larger beta needs a smaller loss of likelihood.")

    def prepare(self, run: Run) -> None:
        """Likelihood of the answers, by the model before."""
        self._before = run.likelihoods(run.forget)

    def forget_loss(self, run: Run, rows: Sequence[int]) -> torch.Tensor:
        """See ``negative_preference_loss``."""
        own = total(run.losses([run.forget[i] for i in rows]))
        return negative_preference_loss(own - self._before[rows], self.settings.beta)
