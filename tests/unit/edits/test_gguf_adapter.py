"""GGUF files: names, the order of rows, sizes, the tokenizer, and what is refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from lunar.edits import gguf_adapter
from lunar.edits.edit import Factors
from lunar.errors import LunarError
from lunar.model.load import load_tokenizer
from peft_folders import write_peft

CONFIG = {"model_type": "llama", "num_attention_heads": 4, "num_key_value_heads": 2}


def factors(outputs: int, inputs: int, rank: int = 1) -> Factors:
    random = torch.Generator().manual_seed(outputs)
    return Factors(torch.randn(outputs, rank, generator=random), torch.randn(inputs, rank, generator=random))


@pytest.fixture
def edit() -> dict[str, Factors]:
    """Of the tests' tiny Llama: down_proj (16 x 40) and q_proj (16 x 16)."""
    return {"layers.1.mlp.down_proj": factors(16, 40), "layers.2.self_attn.q_proj": factors(16, 16, 2)}


def neighbours_turned(x: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
    """The rotary embedding as llama.cpp has it for Llama: pairs are outputs 2 i and 2 i + 1."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack([even * cosine - odd * sine, even * sine + odd * cosine], dim=-1).flatten(-2)


def test_reordered_rows_give_the_same_attention() -> None:
    random = torch.Generator().manual_seed(0)
    width, inputs, length = 8, 12, 5
    q, k = (torch.randn(heads * width, inputs, generator=random) for heads in (4, 2))
    x = torch.randn(length, inputs, generator=random)
    angles = torch.arange(length)[:, None] * torch.logspace(0, -2, width // 2)[None]
    cosine, sine = angles.cos(), angles.sin()

    def heads(weight: torch.Tensor) -> torch.Tensor:
        return (x @ weight.T).reshape(length, -1, width).transpose(0, 1)

    whole = [torch.cat([part, part], dim=-1)[None] for part in (cosine, sine)]
    turned_q, turned_k = apply_rotary_pos_emb(heads(q)[None], heads(k)[None], *whole)
    expected = turned_q[0] @ turned_k[0].repeat_interleave(2, 0).transpose(1, 2)
    ours = [
        neighbours_turned(heads(gguf_adapter.reordered(weight, f"layers.0.self_attn.{name}", CONFIG)), cosine, sine)
        for weight, name in ((q, "q_proj"), (k, "k_proj"))
    ]
    torch.testing.assert_close(ours[0] @ ours[1].repeat_interleave(2, 0).transpose(1, 2), expected)


@pytest.mark.parametrize(("kind", "module"), [("llama", "mlp.down_proj"), ("qwen2", "self_attn.q_proj")])
def test_other_rows_stay(kind: str, module: str) -> None:
    weight = torch.randn(16, 3)
    assert torch.equal(gguf_adapter.reordered(weight, f"layers.0.{module}", CONFIG | {"model_type": kind}), weight)


def test_an_adapter_is_read_back(model_folder: Path, edit, tmp_path: Path) -> None:
    peft = write_peft(edit, tmp_path / "adapter", "tiny")
    assert gguf_adapter.write_adapter(peft, model_folder, tmp_path / "adapter.gguf") == 2
    told = dict(gguf_adapter.metadata(tmp_path / "adapter.gguf"))
    assert told["general.type"] == "adapter"
    assert told["general.architecture"] == "llama"
    assert told["adapter.type"] == "lora"
    assert told["adapter.lora.alpha"] == 2.0
    found = {name: torch.tensor(value) for name, value in gguf_adapter.tensors(tmp_path / "adapter.gguf").items()}
    down = found["blk.1.ffn_down.weight.lora_b"] @ found["blk.1.ffn_down.weight.lora_a"]
    torch.testing.assert_close(down, edit["layers.1.mlp.down_proj"].product())
    query = found["blk.2.attn_q.weight.lora_b"] @ found["blk.2.attn_q.weight.lora_a"]
    config = json.loads((model_folder / "config.json").read_text(encoding="utf-8"))
    changed = edit["layers.2.self_attn.q_proj"].product()
    torch.testing.assert_close(query, gguf_adapter.reordered(changed, "layers.2.self_attn.q_proj", config))
    assert not torch.allclose(query, changed)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_base_model_is_read_back(model_folder: Path, tmp_path: Path, dtype: str) -> None:
    size = gguf_adapter.write_base(model_folder, tmp_path / "base.gguf", dtype)
    assert size == (tmp_path / "base.gguf").stat().st_size
    weights = load_file(model_folder / "model.safetensors")
    found = gguf_adapter.tensors(tmp_path / "base.gguf")
    assert len(found) == len(weights)
    np.testing.assert_array_equal(
        found["blk.1.ffn_down.weight"], weights["model.layers.1.mlp.down_proj.weight"].to(getattr(torch, dtype)).numpy()
    )
    assert found["blk.1.ffn_down.weight"].dtype == dtype
    assert found["output_norm.weight"].dtype == "float32"
    told = dict(gguf_adapter.metadata(tmp_path / "base.gguf"))
    config = json.loads((model_folder / "config.json").read_text(encoding="utf-8"))
    assert told["llama.block_count"] == config["num_hidden_layers"]
    assert told["llama.attention.head_count_kv"] == config["num_key_value_heads"]
    assert told["llama.rope.freq_base"] == config["rope_parameters"]["rope_theta"]
    tokenizer = load_tokenizer(model_folder)
    assert told["tokenizer.ggml.tokens"] == tokenizer.convert_ids_to_tokens(list(range(config["vocab_size"])))
    assert told["tokenizer.ggml.eos_token_id"] == tokenizer.eos_token_id
    assert told["tokenizer.chat_template"] == tokenizer.chat_template
    assert told["tokenizer.ggml.token_type"][:3] == [3, 3, 1]  # two special tokens, then plain ones


def changed_config(folder: Path, target: Path, **changes: Any) -> Path:
    shutil.copytree(folder, target)
    path = target / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")
    return target


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model_type": "qwen2"}, "no GGUF of model_type qwen2"),
        ({"model_type": "phi3"}, "no GGUF is written of model_type phi3"),
        ({"rope_parameters": {"rope_type": "llama3"}}, "rope_type llama3"),
    ],
)
def test_base_models_that_are_refused(model_folder: Path, tmp_path: Path, changes: dict, said: str) -> None:
    folder = changed_config(model_folder, tmp_path / "model", **changes)
    with pytest.raises(LunarError, match=said):
        gguf_adapter.write_base(folder, tmp_path / "base.gguf", "float32")
    assert not (tmp_path / "base.gguf").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"r": 3}, "has rank 2, but adapter_config.json has r: 3"), ({"use_rslora": True}, "only plain LoRA")],
)
def test_adapters_that_are_refused(model_folder: Path, edit, tmp_path: Path, changes: dict, said: str) -> None:
    peft = write_peft(edit, tmp_path / "adapter", "tiny", **changes)
    with pytest.raises(LunarError, match=said):
        gguf_adapter.write_adapter(peft, model_folder, tmp_path / "adapter.gguf")
    assert not (tmp_path / "adapter.gguf").exists()


def test_a_tensor_that_is_no_half_of_a_lora(model_folder: Path, edit, tmp_path: Path) -> None:
    peft = write_peft(edit, tmp_path / "adapter", "tiny")
    path = peft / "adapter_model.safetensors"
    save_file(load_file(path) | {"base_model.model.lm_head.weight": torch.zeros(2)}, path)
    with pytest.raises(LunarError, match=r"lm_head\.weight is no half of a LoRA"):
        gguf_adapter.write_adapter(peft, model_folder, tmp_path / "adapter.gguf")


@pytest.mark.parametrize(
    ("steps", "name"),
    [(["ByteLevel"], "gpt-2"), (["Digits", "ByteLevel"], "smollm"), (["Split", "ByteLevel"], "default")],
)
def test_ways_of_cutting_words(steps: list[str], name: str) -> None:
    told = [{"type": step} for step in steps]
    whole = told[0] if len(told) == 1 else {"type": "Sequence", "pretokenizers": told}
    assert gguf_adapter.words({"pre_tokenizer": whole}) == name
