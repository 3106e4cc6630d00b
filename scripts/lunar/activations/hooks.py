"""Forward hooks as context managers that always clean up: the one place that registers them."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from lunar.errors import LunarError
from lunar.model.load import down_proj

Hook = Callable[..., Any]


@contextmanager
def hooked(
    *, before: Iterable[tuple[nn.Module, Hook]] = (), after: Iterable[tuple[nn.Module, Hook]] = ()
) -> Iterator[None]:
    """Have functions called with each call of modules inside the block.

    Args:
        before: modules, each with a ``hook(module, args, kwargs)`` that is called first.
        after: modules, each with a ``hook(module, args, kwargs, output)`` that is called last. What it returns, unless
            that is None, takes the place of the output.
    """
    handles = []
    try:
        for module, hook in before:
            handles.append(module.register_forward_pre_hook(hook, with_kwargs=True))
        for module, hook in after:
            handles.append(module.register_forward_hook(hook, with_kwargs=True))
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def capture(
    outputs: Mapping[Hashable, nn.Module], inputs: Mapping[Hashable, nn.Module]
) -> Iterator[tuple[dict[Any, torch.Tensor], dict[Any, torch.Tensor]]]:
    """Keep what the named modules give and receive during forward passes inside the block.

    Yields two dictionaries, filled by name on every forward pass: outputs and inputs.
    """
    given: dict[Any, torch.Tensor] = {}
    received: dict[Any, torch.Tensor] = {}

    def keep_output(name: Hashable) -> Hook:
        def hook(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            given[name] = output[0] if isinstance(output, tuple) else output

        return hook

    def keep_input(name: Hashable) -> Hook:
        def hook(module: nn.Module, args: Any, kwargs: Any) -> None:
            received[name] = args[0]

        return hook

    before = [(module, keep_input(name)) for name, module in inputs.items()]
    after = [(module, keep_output(name)) for name, module in outputs.items()]
    with hooked(before=before, after=after):
        yield given, received


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
    """Adds a vector to a ``down_proj`` output while prompts are processed, never while decoding.

    Adding at ``down_proj`` is adding to the residual stream after its block, at the place that an edit of its
    weight can reach. ``arm`` is called before each batch; the first forward pass after it is the prompt's.

    Attributes:
        batches: how often it was armed.
        fired: how often it added the vector.
    """

    def __init__(self, model: Any, layer: int, vector: torch.Tensor) -> None:
        """``vector``: shape (d_model,), already multiplied by the coefficient."""
        module = down_proj(model, layer)
        self._vector = vector.to(device=module.weight.device, dtype=module.weight.dtype)
        self._hooked = hooked(after=[(module, self._add)])
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
