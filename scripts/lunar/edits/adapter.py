"""What is trained in a model and comes out as an edit: LoRA beside its linear modules, or their weights themselves."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import nn

from lunar.edits.edit import Dense, Edit, Factors, block_of
from lunar.errors import LunarError
from lunar.model.load import blocks


def linear_modules(model: Any, first_layer: int, last_layer: int | None = None) -> dict[str, nn.Linear]:
    """The linear modules of the blocks from ``first_layer`` to ``last_layer``, by the decoder's name for them.

    Raises:
        LunarError: there are none.
    """
    count = len(blocks(model))
    last = count - 1 if last_layer is None else last_layer
    found = {
        name: module
        for name, module in model.get_decoder().named_modules()
        if isinstance(module, nn.Linear) and name.startswith("layers.") and first_layer <= block_of(name) <= last
    }
    if not found or last >= count:
        raise LunarError(
            f"no linear modules in blocks {first_layer} to {last} of a model of {count} blocks; change first_layer"
        )
    return found


class Adapter:
    """LoRA on linear modules (Hu et al. 2022), by peft: a change ``alpha / rank * B A`` beside each frozen weight.

    Attributes:
        parameters: all A and B, float32.
    """

    def __init__(self, model: Any, modules: Mapping[str, nn.Linear], rank: int, alpha: float, seed: int) -> None:
        from peft import LoraConfig, get_peft_model

        config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=0.0, target_modules=list(modules))
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self._peft = get_peft_model(model.get_decoder(), config)
        self._names = list(modules)
        self._model = model
        model.requires_grad_(False)  # peft sees the decoder only
        self.parameters = [half.weight.requires_grad_(True) for pair in self._halves().values() for half in pair]

    def _halves(self) -> dict[str, tuple[nn.Linear, nn.Linear]]:
        """A and B of each module."""
        found = {name: self._model.get_decoder().get_submodule(name) for name in self._names}
        return {name: (module.lora_A["default"], module.lora_B["default"]) for name, module in found.items()}

    @contextmanager
    def original(self) -> Iterator[None]:
        """The model as it was before, inside the block."""
        with self._peft.disable_adapter():
            yield

    def edit(self) -> Edit:
        """What was learnt."""
        edit: Edit = {}
        for name, (a, b) in self._halves().items():
            scale = self._model.get_decoder().get_submodule(name).scaling["default"]
            edit[name] = Factors((scale * b.weight).detach().cpu(), a.weight.detach().T.clone().cpu())
        return edit

    def remove(self) -> None:
        """Take the adapter out; weights were never touched."""
        self._peft.unload()


class Weights:
    """The weights of linear modules themselves, trained as float32 copies.

    Attributes:
        parameters: the weights.
    """

    def __init__(self, model: Any, modules: Mapping[str, nn.Linear]) -> None:
        model.requires_grad_(False)
        self._weights = {name: module.weight for name, module in modules.items()}
        self._before = {name: weight.data for name, weight in self._weights.items()}
        for weight in self._weights.values():
            weight.data = weight.data.float().clone()
            weight.requires_grad_(True)
        self.parameters = list(self._weights.values())

    @contextmanager
    def original(self) -> Iterator[None]:
        """The model as it was before, inside the block."""
        trained = {name: weight.data for name, weight in self._weights.items()}
        self._put(self._before)
        try:
            yield
        finally:
            self._put(trained)

    def _put(self, tensors: Mapping[str, torch.Tensor]) -> None:
        for name, weight in self._weights.items():
            weight.data = tensors[name]

    def edit(self) -> Edit:
        """What was learnt."""
        return {name: Dense((weight.data - self._before[name].float()).cpu()) for name, weight in self._weights.items()}

    def remove(self) -> None:
        """Put the old weights back: the very tensors, not a sum that rounds."""
        self._put(self._before)
        for weight in self.parameters:
            weight.grad = None


Kind = TypeVar("Kind", Adapter, Weights)


@contextmanager
def trainable(model: Any, make: Callable[[], Kind]) -> Iterator[Kind]:
    """What ``make`` trains in a model, inside the block; after it the model is as it was, bit for bit."""
    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    training = make()
    try:
        yield training
    finally:
        training.remove()
        for parameter, flag in flags:
            parameter.requires_grad_(flag)
