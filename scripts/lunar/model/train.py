"""Training, as fine-tuning, methods and attacks share it: losses of answer tokens, batches, updates by AdamW."""

import math
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn import functional as F

from lunar.errors import Diverged
from lunar.model.chat import ANSWER, Encoded, batches_by_length, pad
from lunar.model.load import logits, mixed_precision

Item = tuple[str, Encoded]
Factor = Callable[[int], float]


def answer_losses(model: Any, batch: Sequence[Encoded], pad_id: int) -> list[torch.Tensor]:
    """Cross-entropy of each answer token, one float32 tensor of shape (answer tokens,) a conversation."""
    predicted, gold, counts = answer_logits(model, batch, pad_id)
    losses = F.cross_entropy(predicted.float(), gold, reduction="none")
    return list(losses.split(counts))


def answer_logits(model: Any, batch: Sequence[Encoded], pad_id: int) -> tuple[torch.Tensor, torch.Tensor, list[int]]:
    """What predicts each answer token, shape (answer tokens of all rows, vocabulary); the tokens; how many a row has.

    Logits are computed at answer positions only, since other tokens do not enter the loss. With a vocabulary of 49,152
    the head would otherwise cost as much as a third of the blocks.
    """
    ids, mask = (tensor.to(model.device) for tensor in pad([e.ids for e in batch], pad_id, "right"))
    spans, _ = pad([e.spans for e in batch], -1, "right")
    target = (spans == ANSWER).to(model.device)[:, 1:]
    with plain_attention(model):
        hidden = model.get_decoder()(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
    return logits(model, hidden[:, :-1][target]), ids[:, 1:][target], target.sum(1).tolist()


def epoch_batches(rows: Sequence[Item], size: int, order: random.Random) -> list[list[Item]]:
    """All rows once, in random batches of conversations of similar length.

    Rows are shuffled and cut in halves, each half is batched by length, and the batches are shuffled: little
    padding, and other neighbours every epoch.
    """
    shuffled = order.sample(list(rows), len(rows))
    batches = []
    for half in (shuffled[: len(rows) // 2], shuffled[len(rows) // 2 :]):
        lengths = [len(encoded.ids) for _, encoded in half]
        batches += [[half[i] for i in batch] for batch in batches_by_length(lengths, size)]
    return order.sample(batches, len(batches))


def autocast(model: Any) -> torch.autocast:
    """Matrix products in bfloat16 where that is faster, and where frozen weights are no float32; sums in float32.

    Autocast keeps no cache of weights: it would go on serving those of ``Adapter.original`` and ``Weights.original``.
    """
    enabled = mixed_precision(model)._enabled or model.dtype != torch.float32
    return torch.autocast(model.device.type, torch.bfloat16, enabled=enabled, cache_enabled=False)


@contextmanager
def plain_attention(model: Any) -> Iterator[None]:
    """Have a model on a CPU compute attention by plain matrix products inside the block.

    The backward pass of torch's fused attention is a sixth of an update in bfloat16. Measured on SmolLM2-135M, one core
    with AVX-512 BF16: an update of 16 conversations in 0.94 CPU seconds instead of 1.24. In float32 both cost the same.
    """
    decoder = model.get_decoder()
    before = decoder.config._attn_implementation
    if model.device.type == "cpu":
        decoder.set_attn_implementation("eager")
    try:
        yield
    finally:
        decoder.set_attn_implementation(before)


# The schedules of transformers have other factors, so results would change: their first update has a rate of 0, and
# their fall starts after the warm-up.


def linear(updates: int, warmup: int) -> Factor:
    """Factor of the learning rate by update, counted from 0: it rises over ``warmup`` updates, and falls to 0."""
    warmup = max(1, warmup)
    return lambda step: min((step + 1) / warmup, (updates - step) / updates)


def cosine(updates: int, warmup: int) -> Factor:
    """The same, falling along half a cosine."""
    warmup = max(1, warmup)
    return lambda step: min((step + 1) / warmup, 0.5 + 0.5 * math.cos(math.pi * step / updates))


class Trainer:
    """AdamW (no weight decay) on some parameters of a model, one checked update after another.

    Attributes:
        parameters: what trains.
        loss: of the update at work or the last one, all its parts with their weights.
    """

    def __init__(
        self, parameters: Iterable[torch.nn.Parameter], rate: float, factor: Factor = lambda step: 1.0
    ) -> None:
        """``rate`` is the learning rate; ``factor`` gives its multiple at an update, counted from 0."""
        self.parameters = list(parameters)
        self.loss = 0.0
        self._optimiser = torch.optim.AdamW(self.parameters, lr=rate, weight_decay=0.0, fused=True)
        self._schedule = torch.optim.lr_scheduler.LambdaLR(self._optimiser, factor)
        self._started = time.perf_counter()

    @property
    def updates(self) -> int:
        """Number of updates made."""
        return self._schedule.last_epoch

    def row(self) -> dict[str, Any]:
        """What a training curve's row starts with: ``step``, the updates made, and ``seconds``."""
        return {"step": self.updates, "seconds": round(time.perf_counter() - self._started, 1)}

    @contextmanager
    def update(self) -> Iterator[None]:
        """One update, on what the block gives to ``add``; the gradient's length is clipped to 1.

        Raises:
            Diverged: the loss or the gradient is no number any more; the parameters are left.
        """
        self.loss = 0.0
        self._optimiser.zero_grad(set_to_none=True)
        yield
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        if not (math.isfinite(self.loss) and norm.isfinite()):
            raise Diverged(
                f"the loss diverged after {self.updates} updates ({self.loss}); lower learning_rate or epochs"
            )
        self._optimiser.step()
        self._schedule.step()

    def add(self, loss: torch.Tensor, weight: float = 1.0) -> float:
        """Add ``weight`` times a loss to the update at work, and return the loss.

        Each has its own backward pass, so that the activations of one are in memory at a time.
        """
        (weight * loss).backward()
        value = float(loss.detach())
        self.loss += weight * value
        return value

    def state(self) -> dict[str, Any]:
        """What ``restore`` takes up again."""
        weights = [parameter.detach() for parameter in self.parameters]
        return {
            "weights": weights,
            "optimiser": self._optimiser.state_dict(),
            "schedule": self._schedule.state_dict(),
            "seconds": time.perf_counter() - self._started,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where a trainer of the same parameters was."""
        with torch.no_grad():
            for parameter, value in zip(self.parameters, state["weights"], strict=True):
                parameter.copy_(value)
        self._optimiser.load_state_dict(state["optimiser"])
        self._schedule.load_state_dict(state["schedule"])
        self._started -= state["seconds"]
