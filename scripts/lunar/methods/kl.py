"""Gradient ascent with a Kullback-Leibler divergence on what is kept."""

from collections.abc import Sequence

import torch
from torch.nn import functional as F

from lunar.methods.base import method
from lunar.methods.settings import Retaining
from lunar.methods.training import Run, TrainedMethod
from lunar.model.chat import Encoded
from lunar.model.train import answer_logits


def divergence(reference: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """Mean over tokens of KL(reference || model), both as logits of shape (tokens, vocabulary)."""
    wanted, found = (values.float().log_softmax(1) for values in (reference, logits))
    return F.kl_div(found, wanted, reduction="batchmean", log_target=True)


@method("kl", needs=("model", "rows"))
class Divergence(TrainedMethod):
    """Gradient ascent, with retained answers predicted as before (TOFU, Maini et al. 2024, section 3.2)."""

    class Settings(Retaining):
        """Those of the training alone."""

    def forget_loss(self, run: Run, rows: Sequence[int]) -> torch.Tensor:
        """Mean log-likelihood of an answer token."""
        return run.ascent(rows)

    def retain_loss(self, run: Run, batch: Sequence[Encoded]) -> torch.Tensor:
        """KL(model before || model), mean over answer tokens."""
        with torch.no_grad(), run.training.original(), run.lower.given(batch):
            before, _, _ = answer_logits(run.model, batch, run.pad_id)
        with run.lower.given(batch):
            after, _, _ = answer_logits(run.model, batch, run.pad_id)
        return divergence(before, after)
