"""Weights rounded: what it does, that it is caught where it does not, and that it leaves no trace."""

import json

import pytest
import torch
from torch import nn

from lunar.attacks import quantise as weights
from lunar.attacks.base import AttackFailed, Target
from lunar.edits.edit import Dense, Factors, apply
from lunar.errors import LunarError
from targets import declared

DOWN = "layers.1.mlp.down_proj"
pytestmark = pytest.mark.usefixtures("no_trace")


@pytest.fixture
def target(knowing: Target) -> Target:
    return declared(knowing, "quantise")


def _quantise(scheme: str = "rtn4", **settings) -> weights.Quantise:
    return weights.Quantise({"attack": "quantise", "scheme": scheme, "group": 16} | settings)


def _linear(weight: torch.Tensor) -> nn.Linear:
    found = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    found.weight = nn.Parameter(weight, requires_grad=False)
    return found


def test_round_to_nearest_by_hand() -> None:
    weight = torch.tensor([[7.0, 3.4, -0.6, 0.4, 0.0, 0.0, 0.0, 0.0, -1.4, 0.31]])
    expected = torch.tensor([[7.0, 3.0, -1.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.4, 0.4]])
    torch.testing.assert_close(weights.round_to_nearest(weight, 4), expected)


@pytest.mark.parametrize("scheme", weights.SCHEMES)
def test_quantised_module_multiplies_by_the_weight_that_is_measured(scheme: str) -> None:
    noise = torch.Generator().manual_seed(1)
    linear = nn.Linear(64, 32)
    linear.weight = nn.Parameter(torch.randn(32, 64, generator=noise), requires_grad=False)
    linear.bias = nn.Parameter(torch.randn(32, generator=noise), requires_grad=False)
    module = weights.quantised(linear, scheme, 16, torch.float32)
    weight = weights.weight_of(module)
    inputs = torch.randn(5, 64, generator=noise)
    with torch.no_grad():
        expected = nn.functional.linear(inputs, weight, linear.bias)
        # int8 rounds the inputs, too, and 4 bits may be multiplied in bfloat16; outputs are about 8.
        torch.testing.assert_close(module(inputs), expected, rtol=0, atol=0.3)
    assert not torch.equal(weight, linear.weight)


@pytest.mark.parametrize("shape", [(32, 64), (64, 24)])
@pytest.mark.parametrize("scheme", ["nf4", "fp4"])
def test_four_bits_of_bitsandbytes_need_whole_blocks_a_row(scheme: str, shape: tuple[int, int]) -> None:
    with pytest.raises(LunarError, match="no multiples of 32 and 64; use rtn4"):
        weights.quantised(nn.Linear(*shape), scheme, 16, torch.float32)


@pytest.mark.parametrize("scheme", weights.SCHEMES)
def test_quantise(target, scheme: str) -> None:
    edit = {DOWN: Factors(torch.full((64, 1), 0.6), torch.linspace(-1, 1, 128)[:, None])}
    apply(target.model, edit)
    target.edit = edit
    found = _quantise(scheme).run(target)
    evidence = found.evidence
    json.dumps(evidence)
    assert {part: len(rows) for part, rows in found.rows.items()} == {"forget": 4, "retain": 1}
    assert evidence["modules"] == 21 and evidence["calls"] >= 1
    assert evidence["bits_per_weight"] > weights.SCHEMES[scheme].bits
    assert 0.001 < evidence["distance"] < (0.02 if scheme == "int8" else 0.2)
    # Rounding takes nothing from an edit of many steps.
    assert evidence["edit"]["size"] > 1 and evidence["edit"]["survival"] == pytest.approx(1, abs=0.1)
    assert evidence["edit"]["cosine"] > 0.9


def test_edit_below_the_step_is_told(target) -> None:
    """An edit of one entry, a hundredth of a step, on weights that are levels: nothing is left of it."""
    weight = target.model.get_decoder().get_submodule(DOWN).weight
    before = weight.detach().clone()
    with torch.no_grad():
        weight.copy_(weights.round_to_nearest(weight, 16))
        at = int(weight[0, :16].abs().argmin())
        delta = torch.zeros_like(weight)
        delta[0, at] = float(weight[0, :16].abs().max()) / 700
        weight += delta
    target.edit = {DOWN: Dense(delta)}
    attack = _quantise()
    with attack._stand_ins(target) as pairs:
        left = attack._edit_left(target, pairs)
    assert left["survival"] == pytest.approx(0, abs=1e-3) and left["moved"] == 0 and 0 < left["size"] < 0.01
    with torch.no_grad():
        weight.copy_(before)


@pytest.mark.parametrize(
    ("quantiser", "message"),
    [
        (lambda weight: weight.clone(), "has the weights that it had before"),
        (lambda weight: weight + 1e-3 * weight.abs().max(), "different weights in a group"),
        (lambda weight: weights.round_to_nearest(weight, 16) * 1.5, "a weight moved by"),
    ],
)
def test_quantiser_that_does_not_quantise_is_caught(target, monkeypatch, quantiser, message: str) -> None:
    monkeypatch.setattr(weights, "quantised", lambda linear, *_: _linear(quantiser(linear.weight.detach())))
    with pytest.raises(AttackFailed, match=message):
        _quantise().run(target)


def test_finer_rounding_than_the_scheme_says_is_caught(target, monkeypatch) -> None:
    monkeypatch.setitem(weights.SCHEMES, "rtn4", weights.Scheme(4, 15, 1 / 2, 1 / 2))
    with pytest.raises(AttackFailed, match="of what rtn4 is to move them"):
        _quantise().run(target)


def test_module_that_is_never_called_is_caught(target) -> None:
    mlp = target.model.get_decoder().layers[1].mlp
    mlp.forward = torch.zeros_like
    try:
        with pytest.raises(AttackFailed, match="were called 0 to"):
            _quantise().run(target)
    finally:
        del mlp.forward


@pytest.mark.parametrize("scheme", weights.SCHEMES)
def test_control_of_quantise(target, scheme: str) -> None:
    found = _quantise(scheme).control(target)
    assert abs(found["vanishing"]["survival"]) < 0.2 < 0.8 < found["surviving"]["survival"]
    assert found["before"] > 0.6


def test_control_catches_a_quantiser_that_keeps_everything(target, monkeypatch) -> None:
    monkeypatch.setattr(weights, "quantised", lambda linear, *_: _linear(linear.weight.detach()))
    with pytest.raises(AttackFailed, match="it should vanish"):
        _quantise().control(target)


def test_control_catches_a_model_that_knows_nothing_any_more(target, monkeypatch) -> None:
    answer = Target.answer

    def silent(self, parts, **options):
        found = answer(self, parts, **options)
        return found if "retain" not in parts else {k: [r | {"prediction": ""} for r in v] for k, v in found.items()}

    monkeypatch.setattr(Target, "answer", silent)
    with pytest.raises(AttackFailed, match=r"fell from .* to 0.000"):
        _quantise().control(target)
