"""Hooks: what they see, what steering does to each forward pass, and that nothing stays behind."""

import pytest
import torch
from torch import nn

from lunar.activations.hooks import Steering, calls, counted
from lunar.errors import LunarError
from lunar.model.generate import generate
from lunar.model.hooks import capture, hooked
from lunar.model.load import blocks, down_proj

IDS = torch.tensor([[5, 9, 30, 2, 77, 41]])
VECTOR = 3 * torch.randn(16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def _hooks(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def test_capture_sees_inputs_and_outputs(llama) -> None:
    module, block = down_proj(llama, 1), blocks(llama)[1]
    with torch.no_grad(), capture({"down": module, "block": block}, {("in", 1): module}) as (outputs, inputs):
        llama(IDS)
        first = outputs["down"]
        llama(IDS.flip(1))
    assert outputs.keys() == {"down", "block"}
    assert inputs.keys() == {("in", 1)}
    assert inputs[("in", 1)].shape == (1, 6, 40)
    assert outputs["block"].shape == (1, 6, 16)
    # The second forward pass replaced the first.
    assert not torch.equal(outputs["down"], first)
    torch.testing.assert_close(outputs["down"], inputs[("in", 1)] @ module.weight.T)


def test_capture_of_a_tuple() -> None:
    class Pair(nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, str]:
            return x + 1, "cache"

    module = Pair()
    with capture({"pair": module}, {}) as (outputs, _):
        module(torch.zeros(2))
    assert torch.equal(outputs["pair"], torch.ones(2))


@pytest.mark.parametrize("fails", [False, True])
def test_capture_cleans_up(llama, fails: bool) -> None:
    module = down_proj(llama, 0)
    try:
        with capture({0: module}, {0: module}) as (outputs, _):
            assert _hooks(llama) == 2
            if fails:
                raise ValueError
    except ValueError:
        assert fails
    llama(IDS)
    assert _hooks(llama) == 0
    assert outputs == {}


def test_capture_that_cannot_start_cleans_up(llama) -> None:
    with pytest.raises(AttributeError), capture({0: down_proj(llama, 0), 1: None}, {}):  # type: ignore[dict-item]
        pass
    assert _hooks(llama) == 0


class Named(nn.Module):
    """Takes what it works on by place or by name."""

    def forward(self, x: torch.Tensor, *, scale: float = 1.0) -> torch.Tensor:
        return scale * x


def test_hooks_see_and_change_calls() -> None:
    module, said = Named(), []
    before = [(module, lambda _, args, kwargs: said.append(("before", args, kwargs)))]
    after = [
        (module, lambda _, args, kwargs, output: output + 1),
        (module, lambda _, args, kwargs, output: said.append(("after", float(output), kwargs))),
    ]
    one = torch.ones(())
    with hooked(before=before, after=after):
        # A hook that gives something changes the output; the next one sees it changed.
        assert float(module(one, scale=3.0)) == 4.0
    assert said == [("before", (one,), {"scale": 3.0}), ("after", 4.0, {"scale": 3.0})]
    assert float(module(one)) == 1.0 and len(said) == 2


@pytest.mark.parametrize("fails", [False, True])
def test_hooks_are_removed(fails: bool) -> None:
    module = Named()
    try:
        with hooked(before=[(module, lambda *_: None)], after=[(module, lambda *_: None)]):
            assert _hooks(module) == 2
            if fails:
                raise ValueError
    except ValueError:
        assert fails
    assert _hooks(module) == 0


def test_calls_are_kept_in_their_order() -> None:
    first, second = Named(), Named()
    with calls([first, second]) as found:
        second(torch.ones(1), scale=2.0)
        first(torch.zeros(1))
        second(torch.zeros(1))
    assert [(float(args[0]), kwargs) for args, kwargs in found] == [(1.0, {"scale": 2.0}), (0.0, {}), (0.0, {})]
    assert _hooks(first) == _hooks(second) == 0


def test_calls_are_counted_by_module(llama) -> None:
    with torch.no_grad(), counted([down_proj(llama, 0), blocks(llama)[1], nn.Identity()]) as counts:
        assert counts == [0, 0, 0]
        llama(IDS)
        llama(IDS)
        blocks(llama)[1].mlp(torch.zeros(1, 1, 16))
        down_proj(llama, 0)(torch.zeros(40))
    assert counts == [3, 2, 0]
    assert _hooks(llama) == 0


def _by_hand(model, ids: list[int], steps: int, layer: int, prefill: bool, decode: bool) -> torch.Tensor:
    """Logits of greedy steps, (steps, vocabulary). A bias of ``down_proj`` is the vector, so no hook is involved."""
    module, cache, rows = down_proj(model, layer), None, []
    new = torch.tensor([ids])
    for step in range(steps):
        steered = decode if step else prefill
        module.bias = nn.Parameter(VECTOR.float()) if steered else None
        output = model(new, past_key_values=cache, use_cache=True)
        cache, new = output.past_key_values, output.logits[:, -1].argmax(-1, keepdim=True)
        rows.append(output.logits[0, -1])
    module.bias = None
    return torch.stack(rows)


@torch.no_grad()
def test_steering_acts_on_the_prompt_alone(llama) -> None:
    llama.generation_config.eos_token_id = None  # all six steps
    with Steering(llama, 1, VECTOR) as steering:
        steering.arm()
        found = llama.generate(
            IDS, max_new_tokens=6, do_sample=False, pad_token_id=1, output_logits=True, return_dict_in_generate=True
        )
    logits = torch.cat(found.logits)
    expected = _by_hand(llama, IDS[0].tolist(), 6, 1, prefill=True, decode=False)
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
    # The comparison can tell: no steering differs from the first step on, steering while decoding from the second.
    plain = _by_hand(llama, IDS[0].tolist(), 6, 1, prefill=False, decode=False)
    always = _by_hand(llama, IDS[0].tolist(), 6, 1, prefill=True, decode=True)
    assert (plain[0] - expected[0]).abs().max() > 0.1
    assert (always[1] - expected[1]).abs().max() > 0.1


@torch.no_grad()
def test_steering_in_batches(llama, chat, rows) -> None:
    """Once a batch; padded prompts are steered as if alone."""
    questions = [row["question"] for row in rows]
    with Steering(llama, 1, VECTOR) as steering:
        found = generate(llama, chat, questions, max_new_tokens=5, batch_size=2, before_batch=steering.arm)
    assert (steering.batches, steering.fired) == (3, 3)
    expected = [
        chat.decode(_by_hand(llama, chat.encode(question).ids, 5, 1, prefill=True, decode=False).argmax(-1).tolist())
        for question in questions
    ]
    assert found == expected
    assert found != generate(llama, chat, questions, max_new_tokens=5, batch_size=2)


@pytest.mark.parametrize(
    ("armed", "passes"),
    [(0, 0), (0, 1), (1, 0), (2, 1)],
    ids=["unused", "never armed", "no forward pass", "one of two batches"],
)
def test_steering_that_does_not_fire_as_often_as_it_should(llama, armed: int, passes: int) -> None:
    with pytest.raises(LunarError, match=f"fired {min(armed, passes)} times in {armed} batches"):
        with Steering(llama, 0, VECTOR) as steering:
            for _ in range(armed):
                steering.arm()
            for _ in range(passes):
                llama(IDS)
    assert _hooks(llama) == 0


def test_steering_lets_other_errors_through(llama) -> None:
    with pytest.raises(ZeroDivisionError), Steering(llama, 0, VECTOR):
        raise ZeroDivisionError
    assert _hooks(llama) == 0


@torch.no_grad()
def test_steering_leaves_nothing_behind(llama) -> None:
    before = llama(IDS).logits
    with Steering(llama, 2, VECTOR) as steering:
        steering.arm()
        during = llama(IDS).logits
        after_first = llama(IDS).logits
    assert _hooks(llama) == 0
    assert not torch.allclose(during, before)
    assert torch.equal(after_first, before)
    assert torch.equal(llama(IDS).logits, before)


@torch.no_grad()
def test_steering_in_the_dtype_of_the_model(make_model) -> None:
    model = make_model(dtype=torch.bfloat16)
    with Steering(model, 0, VECTOR) as steering, capture({0: down_proj(model, 0)}, {}) as (outputs, _):
        steering.arm()
        model(IDS)
    assert outputs[0].dtype == torch.bfloat16


def _residual_and_projection(model, layer: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits with the vector added after the block, and with it added at ``down_proj``."""
    handle = blocks(model)[layer].register_forward_hook(lambda module, args, output: output + VECTOR.float())
    after_block = model(IDS).logits
    handle.remove()
    with Steering(model, layer, VECTOR) as steering:
        steering.arm()
        return after_block, model(IDS).logits


@torch.no_grad()
@pytest.mark.parametrize("layer", [0, 2])
def test_adding_at_the_projection_is_adding_to_the_residual(make_model, family: str, layer: int) -> None:
    model = make_model(family)
    after_block, at_projection = _residual_and_projection(model, layer)
    torch.testing.assert_close(at_projection, after_block, rtol=1e-4, atol=1e-4)
    assert (at_projection - model(IDS).logits).abs().max() > 0.1


@torch.no_grad()
@pytest.mark.parametrize(
    ("family", "size"), [("gemma2", {}), ("gemma3_text", {}), ("olmo2", {}), ("granite", {"residual_multiplier": 0.2})]
)
def test_also_where_a_norm_or_a_factor_stands_behind_the_projection(make_model, family: str, size: dict) -> None:
    model = make_model(family, **size)
    after_block, at_projection = _residual_and_projection(model, 1)
    torch.testing.assert_close(at_projection, after_block, rtol=1e-4, atol=1e-4)
    assert (at_projection - model(IDS).logits).abs().max() > 0.01
