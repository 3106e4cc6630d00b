"""Frozen blocks that are run once: passes from kept states are those of the whole model, and where nothing is kept."""

import copy
import random

import pytest
import torch

from lunar.edits.adapter import Adapter, linear_modules, trainable
from lunar.model.finetune import encoded, freeze
from lunar.model.hooks import capture
from lunar.model.load import blocks
from lunar.model.lower import Lower, first_trained
from lunar.model.train import Trainer, answer_logits, autocast, epoch_batches

# Gemma 2 scales embeddings, caps scores and slides every second window; Granite multiplies; OLMo 2 has norms behind.
FAMILIES = {
    "llama": {},
    "qwen2": {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1},
    "gemma": {},
    "gemma2": {"sliding_window": 4, "attn_logit_softcapping": 5.0},
    "gemma3_text": {"sliding_window": 4},
    "granite": {"embedding_multiplier": 3.0, "residual_multiplier": 0.5, "attention_multiplier": 0.2},
    "olmo2": {},
    "cohere": {},
}


@pytest.fixture
def conversations(chat, rows):
    return encoded(chat, {"facts": rows})["facts"]


def _gradients(model, batch, lower: Lower | None) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """The logits of answer tokens, and what trains with the gradient of a loss on them."""
    model.zero_grad(set_to_none=True)
    if lower is None:
        found, gold, _ = answer_logits(model, batch, 1)
    else:
        with lower.given(batch):
            found, gold, _ = answer_logits(model, batch, 1)
    torch.nn.functional.cross_entropy(found, gold).backward()
    return found.detach(), [parameter.grad for parameter in model.parameters() if parameter.requires_grad]


@pytest.mark.parametrize("first", [1, 2])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_pass_from_kept_states_is_the_whole_pass(make_model, conversations, family: str, first: int) -> None:
    """Logits and gradients, in other batches than those in which the states were computed."""
    model = make_model(family, initializer_range=0.1, **FAMILIES[family])
    freeze(model, first)
    lower = Lower(model)
    assert lower.first == first
    lower.states(conversations)
    for batch in (conversations[1:4], conversations[3:4], [*conversations[4:], conversations[0]]):
        wanted, slopes = _gradients(model, batch, None)
        found, others = _gradients(model, batch, lower)
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
        for one, other in zip(others, slopes, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_the_blocks_below_are_run_once_a_conversation(make_model, conversations) -> None:
    model = make_model()
    freeze(model, 2)
    lower, tokens = Lower(model), []
    handle = blocks(model)[0].mlp.register_forward_hook(lambda module, args, output: tokens.append(output.shape[:2]))
    for batch in (conversations[:2], conversations[1:3], conversations[:3], conversations[2:3]):
        with lower.given(batch):
            answer_logits(model, batch, 1)
    handle.remove()
    assert [rows for rows, _ in tokens] == [2, 1]
    shapes = [tuple(state.shape) for state in lower.states(conversations[:3])]
    assert shapes == [(len(one.ids), 16) for one in conversations[:3]]


def test_a_block_that_trains_is_seen_and_states_are_those_below_it(llama, conversations) -> None:
    """What changes above does not enter, and the model is as ever behind the block."""
    freeze(llama, 2)
    before = {name: set(vars(module)) for name, module in llama.named_modules()}
    lower = Lower(llama)
    trainer, order = Trainer(freeze(llama, 2), 1e-2), random.Random(0)
    for batch in epoch_batches([("", one) for one in conversations], 2, order):
        rows = [one for _, one in batch]
        with trainer.update(), lower.given(rows):
            trainer.add(answer_logits(llama, rows, 1)[0].float().square().mean())
    assert {name: set(vars(module)) for name, module in llama.named_modules()} == before
    with capture({1: blocks(llama)[1]}, {}) as (given, _), torch.no_grad():
        wanted, _, _ = answer_logits(llama, conversations[:1], 1)
    torch.testing.assert_close(lower.states(conversations[:1])[0], given[1][0], rtol=1e-5, atol=1e-5)
    with torch.no_grad(), lower.given(conversations[:1]):
        torch.testing.assert_close(answer_logits(llama, conversations[:1], 1)[0], wanted, rtol=1e-5, atol=1e-5)


def test_an_error_in_the_block_leaves_the_model_as_it_was(llama, conversations) -> None:
    freeze(llama, 1)
    wanted = answer_logits(llama, conversations, 1)[0].detach()
    with pytest.raises(KeyError), Lower(llama).given(conversations[:2]):
        raise KeyError
    assert torch.equal(answer_logits(llama, conversations, 1)[0].detach(), wanted)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_states_are_in_the_precision_of_training(make_model, monkeypatch, conversations, dtype) -> None:
    monkeypatch.setattr("lunar.model.load.bfloat16_gains", lambda: True)
    model = make_model(dtype=dtype)
    freeze(model, 2)
    lower = Lower(model)
    exact = Lower(copy.deepcopy(model), first=2)
    with autocast(model), torch.no_grad():
        wanted, _, _ = answer_logits(model, conversations[:2], 1)
        with lower.given(conversations[:2]):
            found, _, _ = answer_logits(model, conversations[:2], 1)
    assert lower.states(conversations[:1])[0].dtype == dtype
    torch.testing.assert_close(found, wanted, rtol=1e-2, atol=1e-2)
    if dtype == torch.float32:
        assert not torch.equal(lower.states(conversations[:1])[0], exact.states(conversations[:1])[0])


def test_where_nothing_can_be_kept(make_model, conversations) -> None:
    model = make_model()
    freeze(model, 0)
    assert first_trained(model) == 0
    wanted, slopes = _gradients(model, conversations, None)
    found, others = _gradients(model, conversations, Lower(model))  # nothing changes
    assert torch.equal(found, wanted) and all(
        torch.equal(one, other) for one, other in zip(others, slopes, strict=True)
    )

    drops = make_model(attention_dropout=0.1)
    freeze(drops, 2)
    assert first_trained(drops) == 2
    assert first_trained(drops.train()) == 0

    shares = make_model()
    freeze(shares, 2)
    shares.config.num_kv_shared_layers = 1
    assert first_trained(shares) == 0


def test_what_an_adapter_trains_decides(llama) -> None:
    modules = linear_modules(llama, 1)
    with trainable(llama, lambda: Adapter(llama, {"layers.2.mlp.up_proj": modules["layers.2.mlp.up_proj"]}, 2, 4, 0)):
        assert first_trained(llama) == 2
    with trainable(llama, lambda: Adapter(llama, modules, 2, 4, 0)):
        assert first_trained(llama) == 1
    assert first_trained(llama) == 0
