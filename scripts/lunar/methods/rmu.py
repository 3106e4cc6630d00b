"""Representation misdirection."""

from collections.abc import Sequence
from typing import Any

import torch
from pydantic import Field
from torch import nn

from lunar.edits.adapter import linear_modules
from lunar.edits.edit import down_proj_name
from lunar.errors import LunarError
from lunar.methods.base import method
from lunar.methods.settings import Retaining
from lunar.methods.training import Run, TrainedMethod
from lunar.model.chat import PREFIX, Encoded, pad
from lunar.model.hooks import capture
from lunar.model.load import blocks
from lunar.model.train import plain_attention
from lunar.plan.declare import Block


@method("rmu", needs=("model", "rows"))
class Rmu(TrainedMethod):
    """Representation misdirection (Li et al. 2024, section 4): forget tokens' stream to a random vector.

    Trains ``down_proj`` of blocks ``first_layer`` to ``layer``; errors are means over tokens and units, as in the
    authors' code.
    """

    class Settings(Retaining):
        """With the place of the stream, and the length of the vector."""

        layer: Block = Field(description="Block after which the residual stream is pushed.")
        coefficient: float = Field(description="Length of the random vector.")

    def modules(self, model: Any) -> dict[str, nn.Linear]:
        """The MLP output projections up to the block whose stream is pushed."""
        first, last = self.settings.first_layer, self.settings.layer
        if first > last:
            raise LunarError(f"first_layer: {first} is past layer {last}, whose stream it cannot change; lower it")
        modules = linear_modules(model, first, last)
        names = [name for layer in range(first, last + 1) if (name := down_proj_name(layer)) in modules]
        return {name: modules[name] for name in names}

    def prepare(self, run: Run) -> None:
        """Draw the vector: entries uniform in [0, 1), of length ``coefficient``."""
        draw = torch.Generator().manual_seed(run.job.seed)
        vector = torch.rand(run.model.config.hidden_size, generator=draw)
        self._target = (self.settings.coefficient * vector / vector.norm()).to(run.model.device)

    def forget_loss(self, run: Run, rows: Sequence[int]) -> torch.Tensor:
        """Squared distance of the stream from the vector."""
        stream = _stream(run, [run.forget[i] for i in rows], self.settings.layer)
        return (stream - self._target).square().mean()

    def retain_loss(self, run: Run, batch: Sequence[Encoded]) -> torch.Tensor:
        """Squared distance of the stream from what it was."""
        with torch.no_grad(), run.training.original():
            before = _stream(run, batch, self.settings.layer)
        return (_stream(run, batch, self.settings.layer) - before).square().mean()


def _stream(run: Run, batch: Sequence[Encoded], layer: int) -> torch.Tensor:
    """The residual stream after block ``layer``, float32 of shape (tokens of all rows past the prefix, d_model).

    The prefix, which the template puts before a question, is the same in every row and is left out. The stream of its
    first token is much larger than any other, so it would be all that counts.
    """
    ids, mask = (tensor.to(run.model.device) for tensor in pad([one.ids for one in batch], run.pad_id, "right"))
    spans, _ = pad([one.spans for one in batch], PREFIX, "right")
    block = {"block": blocks(run.model)[layer]}
    with run.lower.given(batch), plain_attention(run.model), capture(block, {}) as (given, _):
        run.model.get_decoder()(input_ids=ids, attention_mask=mask, use_cache=False)
    return given["block"][(spans != PREFIX).to(ids.device)].float()
