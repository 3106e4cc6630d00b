"""What an attack does to harmless questions: a few of them, and how far their answers' first tokens move."""

from collections.abc import Sequence
from contextlib import nullcontext

import torch
from torch.nn.functional import kl_div

from lunar.attacks.base import Target
from lunar.files import Row
from lunar.model.chat import pad
from lunar.model.hooks import capture
from lunar.model.load import blocks, logits, up_to
from lunar.model.lower import starting_at


def spread(rows: Sequence[Row], count: int) -> list[Row]:
    """So many rows, evenly spaced."""
    return list(rows[:: max(1, len(rows) // count)][:count])


class FirstTokens:
    """First answer tokens to a few questions, asked for again and again while one block after the other is changed.

    The stream that enters a block is kept, and the blocks below it are not run again.

    Attributes:
        start: the block at which passes start.
    """

    def __init__(self, target: Target, rows: Sequence[Row]) -> None:
        """``rows``: the questions."""
        self._target, self.start = target, 0
        ids, mask = pad(
            [target.chat.encode(row["question"]).ids for row in rows], target.chat.tokenizer.pad_token_id, "left"
        )
        inputs = {
            "input_ids": ids,
            "attention_mask": mask,
            "position_ids": (mask.cumsum(1) - 1).clamp_min(0),
        }
        self._inputs = {name: value.to(target.model.device) for name, value in inputs.items()}
        self._stream = torch.empty(0)

    def _states(self) -> torch.Tensor:
        """What the decoder gives, shape (rows, tokens, d_model)."""
        model = self._target.model
        with starting_at(model, self.start, self._stream) if self.start else nullcontext():
            return model.get_decoder()(**self._inputs, use_cache=False).last_hidden_state

    @torch.inference_mode()
    def logprobs(self) -> torch.Tensor:
        """Their log-probabilities, float32 of shape (rows, vocabulary)."""
        return logits(self._target.model, self._states()[:, -1]).float().log_softmax(-1)

    @torch.inference_mode()
    def go_up_to(self, block: int) -> None:
        """Have passes start at a block, those below being as they are to stay.

        Where blocks read keys and values of others below (Gemma 3n, Gemma 4), all of them are run each time.
        """
        model = self._target.model
        if block == self.start or model.get_decoder().config.to_dict().get("num_kv_shared_layers"):
            return
        with up_to(model, block - 1), capture({"last": blocks(model)[block - 1]}, {}) as (given, _):
            self._states()
        self._stream, self.start = given["last"], block


def next_token(target: Target, rows: Sequence[Row]) -> torch.Tensor:
    """Log-probabilities of the first answer token to each question, float32 of shape (rows, vocabulary)."""
    return FirstTokens(target, rows).logprobs()


def apart(before: torch.Tensor, after: torch.Tensor) -> float:
    """KL divergence from after to before, in nats: mean over rows of log-probabilities, shape (rows, vocabulary)."""
    return float(kl_div(after, before, log_target=True, reduction="batchmean"))
