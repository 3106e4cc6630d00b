"""What a vector added at down_proj becomes on its way to the stream, measured block by block."""

import pytest
import torch
from torch import nn

from lunar.errors import LunarError
from lunar.model.arrival import arrival, arrivals
from lunar.model.load import blocks, down_proj


def _uneven(model) -> None:
    """Norm weights that are not all the same, as training makes them."""
    torch.manual_seed(1)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "norm" in name:
                value += 0.3 * torch.randn_like(value)


@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2", "qwen3", "gemma", "phi3", "cohere"])
def test_nothing_stands_behind(make_model, family: str) -> None:
    model = make_model(family)
    state = torch.random.get_rng_state()
    for layer, way in arrivals(model).items():
        assert way.module is down_proj(model, layer)
        assert way.factor is None and way.weight is None and str(way) == "as it is"
    assert torch.equal(torch.random.get_rng_state(), state)  # what is drawn afterwards is as before


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("family", "offset"), [("gemma2", 1), ("gemma3_text", 1), ("olmo2", 0), ("exaone4", 0)])
def test_a_norm(make_model, family: str, offset: int, dtype: torch.dtype) -> None:
    model = make_model(family, dtype=dtype)
    _uneven(model)
    for layer, way in arrivals(model).items():
        norm = blocks(model)[layer].post_feedforward_layernorm
        assert way.module is norm and way.name == "post_feedforward_layernorm" and way.factor is None
        torch.testing.assert_close(way.weight, norm.weight.double() + offset, rtol=1e-2, atol=1e-2)
        y = torch.randn(3, 16)
        assert way.lengths(y).tolist() == pytest.approx(y.square().mean(1).sqrt().tolist(), rel=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_factor(make_model, dtype: torch.dtype) -> None:
    model = make_model("granite", residual_multiplier=0.22, dtype=dtype)
    for layer, way in arrivals(model).items():
        assert way.module is down_proj(model, layer)
        assert float(way.factor) == pytest.approx(0.22, rel=5e-3)
        vector = torch.randn(16, dtype=torch.float64)
        torch.testing.assert_close(way.received(way.to_give(vector)), vector)


class Scaled(nn.Module):
    """An MLP whose output is multiplied, a factor a unit or one; or goes through something else."""

    def __init__(self, mlp: nn.Module, then) -> None:
        super().__init__()
        self.down_proj, self.inner, self.then = mlp.down_proj, mlp, then

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return self.then(self.inner(states))


def test_a_factor_for_each_unit(llama) -> None:
    scale = torch.linspace(0.5, 2, 16)
    llama.model.layers[1].mlp = Scaled(llama.model.layers[1].mlp, lambda given: given * scale)
    found = arrivals(llama)
    torch.testing.assert_close(found[1].factor, scale.double(), rtol=1e-3, atol=1e-3)
    assert found[0].factor is None and found[2].factor is None


def test_a_norm_and_a_factor(make_model) -> None:
    model = make_model("gemma2")
    _uneven(model)
    block = blocks(model)[2]

    class Norm(nn.Module):
        def __init__(self, norm: nn.Module) -> None:
            super().__init__()
            self.norm = norm

        def forward(self, states: torch.Tensor) -> torch.Tensor:
            return 0.5 * self.norm(states)

    own = block.post_feedforward_layernorm
    block.post_feedforward_layernorm = Norm(own)
    way = arrival(model, 2)
    assert way.name == "post_feedforward_layernorm.norm" and way.module is own
    assert float(way.factor) == pytest.approx(0.5, rel=1e-3)
    torch.testing.assert_close(way.weight, 0.5 * (1 + own.weight.double()), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("then", [torch.tanh, torch.nn.LayerNorm(16), lambda given: given.flip(-1)])
def test_what_cannot_be_explained_is_refused(llama, then) -> None:
    llama.model.layers[0].mlp = Scaled(llama.model.layers[0].mlp, then)
    with pytest.raises(
        LunarError, match=r"LlamaForCausalLM: .*block 0 arrives in the stream as another one \(.*cosine"
    ):
        arrivals(llama)
    assert set(arrivals(llama, [1, 2])) == {1, 2}
