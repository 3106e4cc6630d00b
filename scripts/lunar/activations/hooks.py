"""Forward hooks as context managers that always clean up."""

from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from lunar.errors import LunarError
from lunar.model.load import down_proj


@contextmanager
def capture(
    outputs: Mapping[Hashable, nn.Module], inputs: Mapping[Hashable, nn.Module]
) -> Iterator[tuple[dict[Any, torch.Tensor], dict[Any, torch.Tensor]]]:
    """Keep what the named modules give and receive during forward passes inside the block.

    Yields two dictionaries, filled by name on every forward pass: outputs and inputs.
    """
    given: dict[Any, torch.Tensor] = {}
    received: dict[Any, torch.Tensor] = {}
    handles = []

    def keep_output(name: Hashable) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            given[name] = output[0] if isinstance(output, tuple) else output

        return hook

    def keep_input(name: Hashable) -> Any:
        def hook(module: nn.Module, args: Any) -> None:
            received[name] = args[0]

        return hook

    try:
        for name, module in outputs.items():
            handles.append(module.register_forward_hook(keep_output(name)))
        for name, module in inputs.items():
            handles.append(module.register_forward_pre_hook(keep_input(name)))
        yield given, received
    finally:
        for handle in handles:
            handle.remove()


class Steering:
    """Adds a vector to a ``down_proj`` output while prompts are processed, never while decoding.

    Adding at ``down_proj`` is adding to the residual stream after its block, at the place that an edit of its
    weight can reach. ``arm`` is called before each batch; the first forward pass after it is the prompt's.

    Attributes:
        batches: how often it was armed.
        fired: how often it added the vector.
    """

    def __init__(self, model: Any, layer: int, vector: torch.Tensor) -> None:
        """``vector``: shape (d_model,), already multiplied by the coefficient."""
        self._module = down_proj(model, layer)
        weight = self._module.weight
        self._vector = vector.to(device=weight.device, dtype=weight.dtype)
        self._armed = False
        self.batches = 0
        self.fired = 0

    def arm(self) -> None:
        """Announce that the next forward pass processes a prompt."""
        self._armed = True
        self.batches += 1

    def _add(self, module: nn.Module, args: Any, output: torch.Tensor) -> torch.Tensor | None:
        if not self._armed:
            return None
        self._armed = False
        self.fired += 1
        return output + self._vector

    def __enter__(self) -> "Steering":
        self._handle = self._module.register_forward_hook(self._add)
        return self

    def __exit__(self, *exception: Any) -> None:
        """Remove the hook.

        Raises:
            LunarError: the hook did not fire exactly once a batch, so what was generated was not steered.
        """
        self._handle.remove()
        if exception[0] is None and not 0 < self.fired == self.batches:
            raise LunarError(
                f"the steering hook fired {self.fired} times in {self.batches} batches; expected once each"
            )
