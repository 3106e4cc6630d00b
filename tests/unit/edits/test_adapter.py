"""What is trained in a model: which modules, what the model is without it, and that it goes away."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from lunar.edits.adapter import Adapter, Weights, linear_modules, trainable
from lunar.edits.edit import applied
from lunar.errors import LunarError

Make = Callable[[Any], Adapter | Weights]


def lora(model: Any) -> Adapter:
    return Adapter(model, linear_modules(model, 1), rank=2, alpha=6, seed=1)


def full(model: Any) -> Weights:
    return Weights(model, linear_modules(model, 1))


@pytest.fixture(params=[lora, full])
def make(request: pytest.FixtureRequest) -> Make:
    return request.param


def _logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(torch.tensor([[5, 9, 30, 2, 77, 14]])).logits


def _move(training: Adapter | Weights) -> None:
    with torch.no_grad():
        for parameter in training.parameters:
            parameter += 0.1


def test_original_is_the_model_before(llama, make: Make) -> None:
    before = _logits(llama)
    training = make(llama)
    _move(training)
    moved = _logits(llama)
    with training.original():
        assert torch.equal(_logits(llama), before)
    assert torch.equal(_logits(llama), moved)
    assert not torch.equal(moved, before)
    assert all(parameter.requires_grad for parameter in training.parameters)
    training.remove()
    assert torch.equal(_logits(llama), before)


def test_edit_is_what_was_learnt(llama, make: Make) -> None:
    training = make(llama)
    _move(training)
    moved, edit = _logits(llama), training.edit()
    training.remove()
    assert list(edit) == list(linear_modules(llama, 1))
    with applied(llama, edit):
        torch.testing.assert_close(_logits(llama), moved, rtol=1e-4, atol=1e-4)


def test_nothing_is_left_of_it_even_after_an_error(llama, make: Make) -> None:
    before, names = _logits(llama), list(dict(llama.named_modules()))
    llama.lm_head.requires_grad_(False)
    flags = {name: parameter.requires_grad for name, parameter in llama.named_parameters()}
    with pytest.raises(RuntimeError, match="stop"), trainable(llama, lambda: make(llama)) as training:
        assert not llama.get_input_embeddings().weight.requires_grad
        _move(training)
        raise RuntimeError("stop")
    assert torch.equal(_logits(llama), before)
    assert list(dict(llama.named_modules())) == names
    assert {name: parameter.requires_grad for name, parameter in llama.named_parameters()} == flags


def test_linear_modules_are_named_as_the_decoder_does(make_model) -> None:
    model = make_model(num_hidden_layers=12)
    found = linear_modules(model, 1, 1)
    assert set(found) == {f"layers.1.self_attn.{part}_proj" for part in "qkvo"} | {
        f"layers.1.mlp.{part}_proj" for part in ("gate", "up", "down")
    }
    assert all(model.get_decoder().get_submodule(name) is module for name, module in found.items())
    # Block 1 must not drag blocks 10 and 11 along.
    training = Adapter(model, found, 2, 4, seed=0)
    adapted = {
        name.split(".lora_")[0] for name, _ in training._peft.base_model.model.named_modules() if ".lora_" in name
    }
    assert adapted == set(found)
    training.remove()
    assert not any("lora" in name for name, _ in model.named_modules())


def test_blocks_that_are_not_there(llama) -> None:
    with pytest.raises(LunarError, match="blocks 3 to 2 of a model of 3 blocks; change first_layer"):
        linear_modules(llama, 3)
    with pytest.raises(LunarError, match="blocks 1 to 3 of a model of 3 blocks"):
        linear_modules(llama, 1, 3)


def test_memory_of_linear_modules_only(llama) -> None:
    """What an edit cannot hold is not trained: norms, embeddings, biases."""
    training = full(llama)
    linear = {id(module.weight) for module in llama.modules() if isinstance(module, nn.Linear)}
    assert {id(p) for p in llama.parameters() if p.requires_grad} == {id(p) for p in training.parameters}
    assert {id(p) for p in training.parameters} <= linear
    training.remove()
