"""Forward hooks as context managers that always clean up: the one place that registers them."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

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
