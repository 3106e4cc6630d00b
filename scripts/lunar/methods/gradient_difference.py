"""Gradient difference."""

from collections.abc import Sequence

import torch

from lunar.methods.base import method
from lunar.methods.settings import Retaining
from lunar.methods.training import Run, TrainedMethod


@method("gradient_difference", needs=("model", "rows"))
class GradientDifference(TrainedMethod):
    """Gradient ascent on forget rows, descent on retained ones (Liu et al. 2022)."""

    class Settings(Retaining):
        """Those of the training alone."""

    def forget_loss(self, run: Run, rows: Sequence[int]) -> torch.Tensor:
        """Mean log-likelihood of an answer token."""
        return run.ascent(rows)
