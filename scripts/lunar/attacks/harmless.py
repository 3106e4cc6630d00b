"""What an attack does to harmless questions: a few of them, and how far their answers' first tokens move."""

from collections.abc import Collection, Sequence
from contextlib import nullcontext

import torch
from torch.nn.functional import kl_div

from lunar.attacks.base import Target
from lunar.files import Row
from lunar.model.chat import pad
from lunar.model.hooks import capture
from lunar.model.load import blocks, logits
from lunar.model.lower import starting_at


class FirstTokens:
    """First answer tokens to a few questions, asked for again and again while one block or another is changed.

    The streams that enter blocks are kept from a first pass, so that blocks below a change are not run again.

    Attributes:
        before: log-probabilities of that pass, float32 of shape (rows, vocabulary).
    """

    def __init__(self, target: Target, rows: Sequence[Row], starts: Collection[int] = ()) -> None:
        """
        Args:
            target: its model is asked, as it is now.
            rows: the questions.
            starts: blocks at which later passes may start.
        """
        self._model = target.model
        ids, mask = pad(
            [target.chat.encode(row["question"]).ids for row in rows], target.chat.tokenizer.pad_token_id, "left"
        )
        inputs = {"input_ids": ids, "attention_mask": mask, "position_ids": (mask.cumsum(1) - 1).clamp_min(0)}
        self._inputs = {name: value.to(self._model.device) for name, value in inputs.items()}
        below = {block: blocks(self._model)[block - 1] for block in starts if block}
        if getattr(self._model.get_decoder().config, "num_kv_shared_layers", 0):
            below = {}  # Gemma 3n and Gemma 4 read keys and values of blocks below, so all are run each time
        with capture(below, {}) as (self._streams, _):
            self.before = self.logprobs()

    @torch.inference_mode()
    def logprobs(self, start: int = 0) -> torch.Tensor:
        """Their log-probabilities now, float32 of shape (rows, vocabulary).

        Args:
            start: one of ``starts``; no block below it has changed since the first pass.
        """
        stream = self._streams.get(start)
        with nullcontext() if stream is None else starting_at(self._model, start, stream):
            states = self._model.get_decoder()(**self._inputs, use_cache=False).last_hidden_state
        return logits(self._model, states[:, -1]).float().log_softmax(-1)


def next_token(target: Target, rows: Sequence[Row]) -> torch.Tensor:
    """Log-probabilities of the first answer token to each question, float32 of shape (rows, vocabulary)."""
    return FirstTokens(target, rows).before


def apart(before: torch.Tensor, after: torch.Tensor) -> float:
    """KL divergence from after to before, in nats: mean over rows of log-probabilities, shape (rows, vocabulary)."""
    return float(kl_div(after, before, log_target=True, reduction="batchmean"))
