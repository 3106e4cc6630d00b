"""Direct preference optimisation."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from pydantic import Field
from torch.nn import functional as F

from lunar.methods.base import method
from lunar.methods.settings import Retaining
from lunar.methods.training import Run, TrainedMethod, total
from lunar.plan.declare import Positive


def preference_loss(gain: torch.Tensor, beta: float) -> torch.Tensor:
    """DPO (Rafailov et al. 2023, equation 7).

    Args:
        gain: how much more the log-likelihood of the preferred answer rose over the reference model's than that of the
            other answer, shape (rows,).
        beta: how soon a gain is enough.
    """
    return -F.logsigmoid(beta * gain).mean()


@method("dpo", needs=("model", "rows"))
class Dpo(TrainedMethod):
    """Prefer refusals to the forget answers (Rafailov et al. 2023)."""

    class Settings(Retaining):
        """With the sharpness of the preference."""

        beta: Positive = Field(description="A larger beta needs a smaller difference in likelihood.")

    refusals: ClassVar[bool] = True

    def prepare(self, run: Run) -> None:
        """Likelihood of both answers, by the model before."""
        self._before = run.likelihoods(run.refused) - run.likelihoods(run.forget)

    def forget_loss(self, run: Run, rows: Sequence[int]) -> torch.Tensor:
        """See ``preference_loss``."""
        both = total(run.losses([run.refused[i] for i in rows] + [run.forget[i] for i in rows]))
        return preference_loss(both[: len(rows)] - both[len(rows) :] - self._before[rows], self.settings.beta)
