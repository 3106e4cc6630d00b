"""Finding the blocks and projections of a model, and model folders."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

from lunar.errors import LunarError
from lunar.model.load import blocks, down_proj, load_model, load_tokenizer, logits, save_model, up_to


def test_blocks_and_projections(make_model, family: str) -> None:
    model = make_model(family)
    weights = model.state_dict()
    assert len(blocks(model)) == 3
    for layer in range(3):
        weight = down_proj(model, layer).weight
        assert weight.shape == (16, 40)
        assert weight.data_ptr() == weights[f"model.layers.{layer}.mlp.down_proj.weight"].data_ptr()


def test_blocks_above_are_left_out_and_come_back(llama) -> None:
    every = list(blocks(llama))
    with pytest.raises(RuntimeError, match="on purpose"), up_to(llama, 0):
        assert list(blocks(llama)) == every[:1]
        raise RuntimeError("on purpose")
    assert list(blocks(llama)) == every


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


def _renamed(folder: Path, rename) -> None:
    held = {rename(name): value for name, value in load_file(folder / "model.safetensors").items()}
    save_file({name: value for name, value in held.items() if name}, folder / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize(
    ("rename", "told"),
    [
        (lambda name: f"_orig_mod.{name}", r"names of 30 weights begin with '_orig_mod\.'.*torch\.compile"),
        (lambda name: f"base_model.model.{name}", r"begin with 'base_model\.model\.'.*PEFT"),
        (lambda name: f"module.{name}", r"begin with 'module\.'.*DataParallel"),
        (
            lambda name: name.replace("layers.1.", "layers.1._orig_mod."),
            r"9 missing: .*, \.\.\.; 9 not the model's: .*torch\.compile",
        ),
        (
            lambda name: "" if "layers.1.mlp.down" in name else name,
            r"block 1 has no mlp\.down_proj\.weight",
        ),
        (
            lambda name: "" if "layers.1.mlp.up" in name else name,
            r"1 missing: model\.layers\.1\.mlp\.up_proj\.weight\);",
        ),
        (lambda name: name.replace("layers.1.", "layers.7."), "no weights of block 1, but config.json has num_hidden"),
    ],
    ids=["compiled", "adapted", "parallel", "block compiled", "no down_proj", "missing", "other block"],
)
def test_weights_under_other_names(tmp_path: Path, llama, tokenizer, rename, told: str) -> None:
    """They would stay random: every load refuses that, and lists at most three names of a kind."""
    save_model(llama, tokenizer, tmp_path / "model")
    _renamed(tmp_path / "model", rename)
    with pytest.raises(LunarError, match=told) as caught:
        load_model(tmp_path / "model")
    assert str(caught.value).count(".weight") <= 6


def test_weights_of_another_shape(tmp_path: Path, llama, tokenizer) -> None:
    save_model(llama, tokenizer, tmp_path / "model")
    held = load_file(tmp_path / "model" / "model.safetensors")
    held["model.norm.weight"] = torch.ones(3)
    save_file(held, tmp_path / "model" / "model.safetensors", {"format": "pt"})
    with pytest.raises(LunarError, match=r"1 of another shape: model\.norm\.weight"):
        load_model(tmp_path / "model")


def test_weights_that_may_be_absent(tmp_path: Path, make_model, tokenizer) -> None:
    """A head tied to the embeddings is not stored; rotary frequencies are, in old checkpoints."""
    save_model(make_model(tie_word_embeddings=True), tokenizer, tmp_path / "model")
    held = load_file(tmp_path / "model" / "model.safetensors")
    assert "lm_head.weight" not in held
    held["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(4)
    save_file(held, tmp_path / "model" / "model.safetensors", {"format": "pt"})
    model = load_model(tmp_path / "model", device="cpu")
    assert torch.equal(model.lm_head.weight, held["model.embed_tokens.weight"])


@pytest.mark.parametrize("content", [b"", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", None])
def test_weights_that_cannot_be_read(tmp_path: Path, llama, tokenizer, content: bytes | None) -> None:
    save_model(llama, tokenizer, tmp_path / "model")
    file = tmp_path / "model" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100] if content is None else content)
    with pytest.raises(LunarError, match=r"model\.safetensors is (empty|a Git LFS pointer|cut)"):
        load_model(tmp_path / "model")


@pytest.mark.parametrize(
    ("file", "change", "told"),
    [
        ("config.json", {"model_type": "wombat"}, "model cannot be read: .*`wombat`.*; correct its configuration"),
        ("config.json", {"rms_norm_eps": "x"}, "model cannot be read: .*'rms_norm_eps' expected float"),
        ("config.json", {"hidden_act": "wombat"}, "model cannot be read: 'wombat'; correct its configuration"),
        ("tokenizer.json", {"model": {"type": "wombat"}}, "tokenizer cannot be read: "),
        ("config.json", {"auto_map": {"AutoModelForCausalLM": "own.Own"}}, "auto_map.*never run"),
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["own.Own", None]}}, "auto_map.*never run"),
        ("config.json", {"quantization_config": {"quant_method": "bitsandbytes"}}, "quantised"),
        ("adapter_config.json", {"peft_type": "LORA"}, "adapter"),
    ],
)
def test_folders_that_are_refused(tmp_path: Path, llama, tokenizer, file: str, change: dict, told: str) -> None:
    """Before anything of them is loaded; code in the folder is not run."""
    save_model(llama, tokenizer, tmp_path / "model")
    path = tmp_path / "model" / file
    held = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(held | change))
    (tmp_path / "model" / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(LunarError, match=told):
        load_tokenizer(tmp_path / "model") if "tokenizer" in file else load_model(tmp_path / "model")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("family", "size"),
    [
        ("llama", {}),
        ("granite", {"logits_scaling": 8.0}),
        ("cohere", {"logit_scale": 0.0625}),
        ("gemma2", {"final_logit_softcapping": 3.0}),
    ],
)
def test_logits_are_the_models_own(make_model, family: str, size: dict) -> None:
    model, ids = make_model(family, **size), torch.arange(5, 17)[None]
    with torch.no_grad():
        own = model(ids).logits[0]
        states = model.get_decoder()(ids).last_hidden_state[0]
        assert torch.equal(logits(model, states), own)
        assert torch.allclose(logits(model, states[3]), own[3], atol=1e-6)
        assert torch.equal(model(ids).logits[0], own)  # the decoder is back in place
