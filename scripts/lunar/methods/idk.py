"""Training on refusals."""

from collections.abc import Sequence
from typing import ClassVar

import torch

from lunar.methods.base import method
from lunar.methods.settings import Retaining
from lunar.methods.training import Run, TrainedMethod


@method("idk", needs=("model", "rows"))
class Idk(TrainedMethod):
    """Learn to say that one does not know (TOFU, Maini et al. 2024, section 3.2)."""

    class Settings(Retaining):
        """Those of the training alone."""

    refusals: ClassVar[bool] = True

    def forget_loss(self, run: Run, rows: Sequence[int]) -> torch.Tensor:
        """Mean loss of a token of the refusals."""
        return torch.cat(run.losses([run.refused[i] for i in rows])).mean()
