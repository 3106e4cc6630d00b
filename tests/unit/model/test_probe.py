"""What a look at a model finds: families that fit, and models with one thing wrong."""

import pytest
import torch
from torch import nn

from lunar.errors import LunarError
from lunar.model import probe
from lunar.model.cache import PreallocatedCache
from lunar.model.chat import Chat
from lunar.model.findings import Finding

GRANITE = {"residual_multiplier": 0.22, "logits_scaling": 8.0, "embedding_multiplier": 12.0}
FAMILIES = {
    "llama": {},
    "mistral": {"sliding_window": 4},  # shorter than the prompts, so that a wrong cache shows
    "gemma2": {"sliding_window": 4, "query_pre_attn_scalar": 8},
    "gemma3_text": {"sliding_window": 4, "sliding_window_pattern": 2},
    "gemma4_text": {"hidden_size_per_layer_input": 0},
    "granite": GRANITE,
    "olmo2": {},
    "cohere": {"logit_scale": 0.0625},
    "phi3": {},
    "qwen3": {},
}


@pytest.mark.parametrize("name", FAMILIES)
def test_families_that_fit(make_model, chat: Chat, name: str) -> None:
    found = probe.probe(make_model(name, **FAMILIES[name]), chat)
    assert [one.what for one in found if not one.fits] == []
    assert len(found) == 7
    probe.demand("mine", found)
    way = {one.what: one.found for one in found}["arrival in the stream"]
    told = {"granite": "times 0.22", "llama": "as it is", "gemma2": "RMS norm post_feedforward_layernorm"}
    assert told.get(name, "") in way


def _wrong(model, chat: Chat) -> dict[str, str]:
    return {one.what: one.found for one in probe.probe(model, chat) if not one.fits}


def test_tokens_without_an_embedding(llama, chat: Chat) -> None:
    chat.tokenizer.add_special_tokens({"pad_token": "<|pad|>"})
    assert "padding (330)" in _wrong(llama, chat)["token ids"]
    llama.resize_token_embeddings(200)
    assert "a word (329)" in _wrong(llama, chat)["token ids"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers(llama, chat: Chat, value: float) -> None:
    with torch.no_grad():
        llama.model.layers[1].self_attn.k_proj.weight[3, 2] = value
    assert "model.layers.1.self_attn.k_proj.weight" in _wrong(llama, chat)["weights"]


def test_a_model_at_which_the_library_fails(llama, chat: Chat) -> None:
    """As at Qwen3.5 and OLMo Hybrid, whose caches are no keys and values; that is a finding, whatever was raised."""

    def refuse(module: nn.Module, args: tuple, kwargs: dict) -> None:
        if kwargs.get("past_key_values") is not None:
            raise ValueError("no cache\nof mine")

    llama.model.layers[1].register_forward_pre_hook(refuse, with_kwargs=True)
    said = "LlamaForCausalLM fails at it (ValueError: no cache of mine)"
    assert _wrong(llama, chat) == {"cached": said, "decoding": said}


def test_experts_behind_a_dense_block(llama, chat: Chat) -> None:
    llama.model.layers[2].mlp.down_proj = nn.ModuleList([llama.model.layers[2].mlp.down_proj])
    assert "block 2 has no linear mlp.down_proj" in _wrong(llama, chat)["down_proj"]


def test_what_arrives_as_something_else(llama, chat: Chat) -> None:
    """A LayerNorm behind down_proj is neither an RMS norm nor a factor."""

    class Behind(nn.Module):
        def __init__(self, mlp: nn.Module) -> None:
            super().__init__()
            self.down_proj, self.inner, self.after = mlp.down_proj, mlp, nn.LayerNorm(16)

        def forward(self, states: torch.Tensor) -> torch.Tensor:
            return self.after(self.inner(states))

    llama.model.layers[1].mlp = Behind(llama.model.layers[1].mlp)
    assert "down_proj of block 1 arrives in the stream as another one" in _wrong(llama, chat)["arrival in the stream"]


def test_a_head_that_reads_more_than_the_last_state(llama, chat: Chat) -> None:
    forward = llama.forward

    def shifted(*args, **kwargs):
        result = forward(*args, **kwargs)
        result.logits = result.logits + result.logits.mean(1, keepdim=True)
        return result

    llama.forward = shifted
    assert "logits" in _wrong(llama, chat)


def test_a_cache_that_forgets(llama, chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys of the prompt are lost: the cached pass and greedy decoding both show it."""
    own = PreallocatedCache.update

    def update(self, keys, values, *args, **kwargs):
        return own(self, torch.zeros_like(keys), values, *args, **kwargs)

    monkeypatch.setattr(PreallocatedCache, "update", update)
    assert {"cached pass", "greedy decoding"} <= _wrong(llama, chat).keys()


def test_an_error_of_six_lines() -> None:
    found = [Finding(f"thing {number}", False, "wrong", "mend it") for number in range(9)]
    with pytest.raises(LunarError) as caught:
        probe.demand("mine", found)
    lines = str(caught.value).splitlines()
    assert len(lines) == 6
    assert lines[:2] == ["model mine does not fit:", "thing 0: wrong; mend it"]
    assert lines[-1] == "and 5 more"
