"""Gradient ascent."""

from collections.abc import Sequence

import torch

from lunar.methods.base import method
from lunar.methods.settings import Trained
from lunar.methods.training import Run, TrainedMethod


@method("gradient_ascent", needs=("model", "rows"))
class GradientAscent(TrainedMethod):
    """Make the forget answers less likely, and nothing else (Jang et al. 2023)."""

    class Settings(Trained):
        """Those of the training alone."""

    def forget_loss(self, run: Run, rows: Sequence[int]) -> torch.Tensor:
        """Mean log-likelihood of an answer token."""
        return run.ascent(rows)
