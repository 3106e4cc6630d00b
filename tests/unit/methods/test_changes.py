"""What unlearning elsewhere changed, on models whose change is known."""

import copy
from typing import Any

import pytest
import torch

from lunar.edits.edit import Factors, apply, down_proj_name
from lunar.errors import LunarError
from lunar.methods.changes import changes, directions, summary
from lunar.model.load import down_proj


@pytest.fixture
def pair(llama: Any) -> tuple[Any, Any]:
    """A model and its copy, to be changed."""
    return copy.deepcopy(llama), llama


def test_an_edit_of_rank_one_is_one_weight_and_one_direction(pair: tuple[Any, Any]) -> None:
    after, before = pair
    weight = down_proj(before, 1).weight.detach()
    left, right = torch.randn(weight.shape[0], 1), torch.randn(weight.shape[1], 1)
    apply(after, {down_proj_name(1): Factors(left, right)})
    [found] = changes(after, before)
    assert (found["weight"], found["block"], found["directions"]) == ("model.layers.1.mlp.down_proj.weight", 1, 1)
    assert found["norm"] == pytest.approx(float((left @ right.T).norm()), rel=1e-4)
    assert found["share"] == pytest.approx(found["norm"] / float(weight.norm()), rel=1e-4)
    told = summary([found], before)
    assert (told["weights"], told["blocks"], told["down_proj"], told["elsewhere"]) == (1, [1], [1], False)
    every = torch.cat([one.detach().flatten() for one in before.parameters()])
    assert told["share"] == pytest.approx(found["norm"] / float(every.norm()), rel=1e-4)


def test_other_weights_are_told_apart(pair: tuple[Any, Any]) -> None:
    after, before = pair
    with torch.no_grad():
        after.model.embed_tokens.weight[3] += 1.0
        after.model.layers[2].input_layernorm.weight.mul_(2.0)
        down_proj(after, 0).weight.mul_(1.5)
    found = {one["weight"]: one for one in changes(after, before)}
    assert found["model.embed_tokens.weight"]["block"] is None
    assert found["model.layers.2.input_layernorm.weight"]["share"] == pytest.approx(1.0)
    assert found["model.layers.2.input_layernorm.weight"]["directions"] == 1
    told = summary(list(found.values()), before)
    assert (told["blocks"], told["down_proj"], told["elsewhere"]) == ([0, 2], [0], True)


def test_directions_hold_most_of_the_square() -> None:
    left, right = torch.linalg.qr(torch.randn(12, 12))[0], torch.linalg.qr(torch.randn(20, 12))[0]
    values = torch.tensor([10.0, 5.0, 1.0] + [0.1] * 9)  # the first two hold 125 of 126.09, less than 99.2%
    delta = (left * values) @ right.T
    assert directions(delta) == directions(delta.T) == 2
    assert directions(torch.eye(7)) == 7
    assert directions(torch.ones(5)) == 1
    assert directions(torch.zeros(2049, 2049)) is None


def test_the_model_before_itself_is_refused(pair: tuple[Any, Any]) -> None:
    with pytest.raises(LunarError, match="nothing was unlearned"):
        changes(*pair)


def test_models_of_other_shapes_are_no_pair(llama: Any, make_model: Any) -> None:
    with pytest.raises(LunarError, match="is a weight of one of the two models only"):
        changes(make_model(num_hidden_layers=2), llama)
    with pytest.raises(LunarError, match=r"is \(16, 48\), and \(16, 40\) in the model before|is \(48, 16\)"):
        changes(make_model(intermediate_size=48), llama)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_what_was_rounded_alone_has_not_changed(pair: tuple[Any, Any], kind: torch.dtype) -> None:
    after, before = pair
    after.to(kind).float()
    with pytest.raises(LunarError, match="nothing was unlearned"):
        changes(after, before)
    with torch.no_grad():
        down_proj(after, 2).weight.mul_(1.5)
    assert [one["weight"] for one in changes(after, before)] == ["model.layers.2.mlp.down_proj.weight"]


def test_a_head_that_one_of_the_two_ties_is_a_weight_of_its_own(make_model: Any) -> None:
    before, after = (make_model(tie_word_embeddings=True) for _ in range(2))
    assert after.lm_head.weight is after.model.embed_tokens.weight
    with torch.no_grad():
        after.model.embed_tokens.weight[0] += 1.0
    assert [one["weight"] for one in changes(after, before)] == ["model.embed_tokens.weight"]
    after.lm_head.weight = torch.nn.Parameter(before.lm_head.weight.detach() * 1.1)
    found = changes(after, before)
    assert [one["weight"] for one in found] == ["model.embed_tokens.weight", "lm_head.weight"]
    assert summary(found, before)["of"] == len(list(before.parameters())) + 1


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused(pair: tuple[Any, Any], value: float) -> None:
    with torch.no_grad():
        down_proj(pair[0], 1).weight[0, 0] = value
    with pytest.raises(LunarError, match=r"layers.1.mlp.down_proj.weight has numbers that are not finite"):
        changes(*pair)
