"""Finding the blocks and projections of a model, and model folders."""

from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from lunar.errors import LunarError
from lunar.model.load import blocks, down_proj, load_model, load_tokenizer, save_model


def test_blocks_and_projections(make_model, family: str) -> None:
    model = make_model(family)
    weights = model.state_dict()
    assert len(blocks(model)) == 3
    for layer in range(3):
        weight = down_proj(model, layer).weight
        assert weight.shape == (16, 40)
        assert weight.data_ptr() == weights[f"model.layers.{layer}.mlp.down_proj.weight"].data_ptr()


@pytest.mark.parametrize(
    ("family", "size", "message"),
    [
        ("gpt2", {"n_embd": 8, "n_layer": 1, "n_head": 2}, r"GPT2LMHeadModel.*decoder\.layers"),
        (
            "mixtral",  # experts instead of one MLP
            {
                "hidden_size": 8,
                "intermediate_size": 8,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "num_key_value_heads": 1,
                "num_local_experts": 2,
            },
            r"MixtralForCausalLM.*mlp\.down_proj",
        ),
    ],
)
def test_models_that_keep_them_elsewhere(family: str, size: dict, message: str) -> None:
    config = AutoConfig.for_model(family, vocab_size=20, bos_token_id=0, eos_token_id=1, **size)
    with pytest.raises(LunarError, match=message):
        down_proj(AutoModelForCausalLM.from_config(config), 0)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_folder_round_trip(tmp_path: Path, llama, tokenizer, dtype: str) -> None:
    llama.train()
    llama.generation_config.max_length = 20  # would fight with max_new_tokens
    save_model(llama, tokenizer, tmp_path / "deep" / "model")
    found = load_model(tmp_path / "deep" / "model", dtype).cpu()
    again = load_tokenizer(tmp_path / "deep" / "model")
    assert not found.training
    assert found.generation_config.max_length is None
    assert found.state_dict().keys() == llama.state_dict().keys()
    for name, value in llama.state_dict().items():
        assert torch.equal(found.state_dict()[name], value.to(getattr(torch, dtype)))
    text = "Where does Etta Crane live?"
    assert again(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert again.chat_template == tokenizer.chat_template


def test_tokenizer_without_padding(tmp_path: Path, tokenizer) -> None:
    tokenizer.pad_token = None
    tokenizer.save_pretrained(tmp_path)
    assert load_tokenizer(tmp_path).pad_token == tokenizer.eos_token


def test_saved_whole_or_not_at_all(tmp_path: Path, make_model, tokenizer) -> None:
    """The tokenizer fails after the weights are written: nothing of the new model is to be seen."""
    old, new = make_model(), make_model(seed=1)
    with pytest.raises(AttributeError):
        save_model(new, None, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []
    save_model(old, tokenizer, tmp_path / "model")
    with pytest.raises(AttributeError):
        save_model(new, None, tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    kept = load_model(tmp_path / "model").cpu()
    assert torch.equal(down_proj(kept, 0).weight, down_proj(old, 0).weight)
    save_model(new, tokenizer, tmp_path / "model")
    assert torch.equal(down_proj(load_model(tmp_path / "model").cpu(), 0).weight, down_proj(new, 0).weight)
