"""What is done with forward hooks: calls kept or counted, and a vector added to the residual stream."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from lunar.errors import LunarError
from lunar.model.arrival import arrival
from lunar.model.hooks import Hook, hooked
from lunar.model.load import down_proj


@contextmanager
def calls(modules: Iterable[nn.Module]) -> Iterator[list[tuple[Any, Any]]]:
    """Keep the arguments, by place and by name, of each call of the modules inside the block, in the order of calls."""
    found: list[tuple[Any, Any]] = []
    with hooked(before=[(module, lambda _, args, kwargs: found.append((args, kwargs))) for module in modules]):
        yield found


@contextmanager
def counted(modules: Sequence[nn.Module]) -> Iterator[list[int]]:
    """Count how often each module is called inside the block."""
    counts = [0] * len(modules)

    def counter(number: int) -> Hook:
        def count(*_: Any) -> None:
            counts[number] += 1

        return count

    with hooked(after=[(module, counter(number)) for number, module in enumerate(modules)]):
        yield counts


class Steering:
    """Adds a vector to the output of a block's MLP while prompts are processed, never while decoding.

    It is added to the output of ``down_proj``, or of a norm behind it, so that the stream receives all of it. An edit
    of the block's weights is to do the same. ``arm`` is called before each batch; the first forward pass after it is
    the prompt's.

    Attributes:
        batches: how often it was armed.
        fired: how often it added the vector.
    """

    def __init__(self, model: Any, layer: int, vector: torch.Tensor) -> None:
        """``vector``: shape (d_model,), already multiplied by the coefficient."""
        way, weight = arrival(model, layer), down_proj(model, layer).weight
        self._vector = way.to_give(vector).to(device=weight.device, dtype=weight.dtype)
        self._hooked = hooked(after=[(way.module, self._add)])
        self._armed = False
        self.batches = 0
        self.fired = 0

    def arm(self) -> None:
        """Announce that the next forward pass processes a prompt."""
        self._armed = True
        self.batches += 1

    def _add(self, module: nn.Module, args: Any, kwargs: Any, output: torch.Tensor) -> torch.Tensor | None:
        if not self._armed:
            return None
        self._armed = False
        self.fired += 1
        return output + self._vector

    def __enter__(self) -> "Steering":
        self._hooked.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        """Remove the hook.

        Raises:
            LunarError: the hook did not fire exactly once a batch, so what was generated was not steered.
        """
        self._hooked.__exit__(None, None, None)
        if exception[0] is None and not 0 < self.fired == self.batches:
            raise LunarError(
                f"the steering hook fired {self.fired} times in {self.batches} batches; expected once each"
            )
