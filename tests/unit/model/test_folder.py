"""What a model folder's files tell before anything is loaded; every fault of a folder at once, with the way out."""

import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clone import ROOT
from folders import POINTER, SHAPES, TOKENIZER, tensors, write
from lunar.errors import LunarError
from lunar.model.folder import check_folder, check_tokenizer, look

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 4,
    "intermediate_size": 6,
    "num_hidden_layers": 2,
    "vocab_size": 8,
    "eos_token_id": [1, 7],
    "pad_token_id": -1,  # Llama 1 and 2 have it
    "quantization_config": None,
    "num_local_experts": 0,
}


def named(change: Callable[[str], str], **more: list[int]) -> bytes:
    return tensors({change(name): shape for name, shape in SHAPES.items()} | more)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {
        "config.json": CONFIG,
        "model.safetensors": tensors(),
        "tokenizer.json": TOKENIZER,
        "tokenizer_config.json": {"chat_template": "{% generation %}{{ messages }}{% endgeneration %}"},
    }
    return write(tmp_path / "mine", files)


def test_a_sound_folder(folder: Path) -> None:
    assert look(folder) == []
    check_folder(folder)
    shards = {"weight_map": {name: f"{name[6:14]}.safetensors" for name in SHAPES}}
    parts = {
        part: tensors({name: SHAPES[name] for name, one in shards["weight_map"].items() if one == part})
        for part in set(shards["weight_map"].values())
    }
    write(folder, {"model.safetensors": None, "model.safetensors.index.json": shards, **parts})
    assert look(folder) == []


def test_a_token_that_no_conversation_holds_needs_no_embedding(folder: Path) -> None:
    """As in Gemma 3 1B, whose tokenizer has one for images."""
    write(folder, {"tokenizer.json": TOKENIZER | {"added_tokens": [{"content": "<image>", "id": 8}]}})
    assert look(folder) == []
    write(folder, {"chat_template.jinja": "{{ '<image>' }}{{ messages }}"})
    assert ["token '<image>' of" in one.found for one in look(folder)] == [True]


def test_weights_below_the_folder(folder: Path) -> None:
    shards = {"weight_map": dict.fromkeys(SHAPES, "sub/model.safetensors")}
    write(folder, {"model.safetensors": None, "sub/model.safetensors": tensors()})
    write(folder, {"model.safetensors.index.json": shards})
    [found] = look(folder)
    assert found.found.endswith("names files in other folders, such as sub/model.safetensors")


def without(*keys: str, **changes: Any) -> dict[str, Any]:
    return {key: one for key, one in CONFIG.items() if key not in keys} | changes


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "no config": ({"config.json": None}, "no config.json in"),
    "config is empty": ({"config.json": ""}, "config.json is empty"),
    "config is cut": ({"config.json": '{"a": '}, "config.json is no JSON"),
    "config is a list": ({"config.json": []}, "config.json holds no JSON object"),
    "config is a pointer": ({"config.json": POINTER}, "config.json is a Git LFS pointer"),
    "own code": ({"config.json": without(auto_map={"AutoModel": "m.M"})}, "code, which is never run"),
    "own tokenizer": (
        {"tokenizer_config.json": {"auto_map": {}, "chat_template": "x"}},
        "tokenizer_config.json has auto_map",
    ),
    "no type": ({"config.json": without("model_type")}, "has no model_type"),
    "mixtral": ({"config.json": without(num_local_experts=8)}, "num_local_experts: 8, a mixture of experts"),
    "deepseek": ({"config.json": without(n_routed_experts=64, first_k_dense_replace=1)}, "n_routed_experts: 64"),
    "qwen3 moe": ({"config.json": without(num_experts=128, mlp_only_layers=[0])}, "num_experts: 128"),
    "dbrx": ({"config.json": without(ffn_config={"moe_num_experts": 16})}, "ffn_config.moe_num_experts: 16"),
    "experts by name": (
        {"model.safetensors": tensors(SHAPES | {"model.layers.1.mlp.experts.0.down_proj.weight": [4, 6]})},
        "has experts in 1 weights",
    ),
    "4 bit": (
        {"config.json": without(quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True})},
        "quantization_config (bitsandbytes, 4 bits)",
    ),
    "gptq": ({"config.json": without(quantization_config={"quant_method": "gptq", "bits": 8})}, "(gptq, 8 bits)"),
    "fp8": ({"config.json": without(quantization_config={"quant_method": "fp8"})}, "(fp8)"),
    "fp8 weights": ({"model.safetensors": tensors(kind="F8_E4M3")}, "is F8_E4M3, so weights are quantised"),
    "int8 weights": ({"model.safetensors": tensors(kind="I8")}, "is I8, so weights are quantised"),
    "images": (
        {"config.json": without(vision_config={"hidden_size": 4}, text_config={"hidden_size": 4})},
        "has vision_config: a wrapper around a language model",
    ),
    "conditional": (
        {"config.json": without(architectures=["Gemma3ForConditionalGeneration"])},
        "architectures Gemma3ForConditionalGeneration: a wrapper",
    ),
    "encoder and decoder": ({"config.json": without(is_encoder_decoder=True)}, "has is_encoder_decoder"),
    "classifier": ({"config.json": without(architectures=["BertForMaskedLM"])}, "BertForMaskedLM, no causal language"),
    "bare model": ({"config.json": without(architectures=["LlamaModel"])}, "LlamaModel, no causal language model"),
    "adapter beside": ({"adapter_config.json": {}}, "an adapter beside or instead of a model"),
    "pickled": ({"model.safetensors": None, "pytorch_model.bin": b"x"}, "pickled weights are never loaded"),
    "no weights": ({"model.safetensors": None}, "no .safetensors in"),
    "another name": (
        {"model.safetensors": None, "consolidated.safetensors": tensors()},
        "neither model.safetensors nor its index in",
    ),
    "missing shards": (
        {"model.safetensors": None, "model.safetensors.index.json": {"weight_map": {"a": "x.st", "b": "y.st"}}},
        "2 of 2 files with weights are missing in",
    ),
    "an index of nothing": (
        {"model.safetensors": None, "model.safetensors.index.json": {}},
        "index.json has no weight_map",
    ),
    "a shard without its tensor": (
        {
            "model.safetensors": None,
            "a.safetensors": tensors({"lm_head.weight": [8, 4]}),
            "model.safetensors.index.json": {"weight_map": {"other": "a.safetensors"}},
        },
        "lacks other, which model.safetensors.index.json says it has",
    ),
    "weights are a pointer": ({"model.safetensors": POINTER}, "is a Git LFS pointer, not weights"),
    "weights are empty": ({"model.safetensors": b""}, "model.safetensors is empty"),
    "weights are cut": ({"model.safetensors": tensors(cut=9)}, "is cut: "),
    "weights are cut early": ({"model.safetensors": tensors()[:40]}, "is cut: 40 bytes are not even its header"),
    "weights are longer": ({"model.safetensors": tensors() + b"xx"}, "is damaged: 2 bytes too many"),
    "weights are text": ({"model.safetensors": struct.pack("<Q", 4) + b"<htm"}, "its header is no table of tensors"),
    "compiled": ({"model.safetensors": named("_orig_mod.{}".format)}, "names of 6 weights begin with '_orig_mod.'"),
    "peft": ({"model.safetensors": named("base_model.model.{}".format)}, "begin with 'base_model.model.'"),
    "parallel": ({"model.safetensors": named("module.{}".format)}, "begin with 'module.'"),
    "wrapped": ({"model.safetensors": named("language_model.{}".format)}, "begin with 'language_model.'"),
    "other names": (
        {"model.safetensors": tensors({"transformer.h.0.mlp.c_proj.weight": [4, 6]})},
        "no weight is called layers.<block>.mlp.down_proj.weight",
    ),
    "another depth": (
        {"config.json": without(num_hidden_layers=3)},
        "no weights of block 2, but config.json has num_h",
    ),
    "another width": ({"config.json": without(hidden_size=5)}, "embed_tokens.weight is [8, 4], but config.json has"),
    "another inner width": ({"config.json": without(intermediate_size=7)}, "hidden_size: 4, intermediate_size: 7"),
    "no size": ({"config.json": without(hidden_size="4")}, "hidden_size: '4', no size"),
    "end beyond": ({"config.json": without(eos_token_id=[1, 8])}, "eos_token_id: 8, but the model has 8 embeddings"),
    "padding beyond": ({"generation_config.json": {"pad_token_id": 8}}, "generation_config.json has pad_token_id: 8"),
    "a token beyond": (
        {
            "tokenizer.json": TOKENIZER | {"added_tokens": [{"content": "<pad>", "id": 8}]},
            "tokenizer_config.json": {"chat_template": "x", "pad_token": "<pad>"},
        },
        "token '<pad>' of tokenizer.json has id 8, but the model has 8 embeddings",
    ),
    "no tokenizer": ({"tokenizer.json": None}, "no tokenizer in"),
    "a slow tokenizer": ({"tokenizer.json": None, "tokenizer.model": b"x"}, "tokenizer.model alone in"),
    "a damaged tokenizer": ({"tokenizer.json": '{"model"'}, "tokenizer.json is no JSON"),
    "no template": ({"tokenizer_config.json": {}}, "has no chat template"),
    "a template of null": ({"tokenizer_config.json": {"chat_template": None}}, "has no chat template"),
    "an empty template": ({"tokenizer_config.json": {"chat_template": " "}}, "has chat_template ' ', no Jinja text"),
    "a template that is a number": ({"tokenizer_config.json": {"chat_template": 5}}, "has chat_template 5, no Jinja"),
    "named templates": (
        {"tokenizer_config.json": {"chat_template": [{"name": "tool_use", "template": "x"}]}},
        "has chat templates tool_use, and none is called 'default'",
    ),
    "a misspelt template": (
        {"chat_template.jinja": "{% for m in messages %}\n{{ m['content' }}{% endfor %}"},
        "chat_template.jinja: the chat template is no Jinja: line 2",
    ),
}


@pytest.mark.parametrize("case", FAULTS)
def test_what_is_wrong_with_a_folder(folder: Path, case: str) -> None:
    files, words = FAULTS[case]
    found = look(write(folder, files))
    assert [words in one.found for one in found].count(True) == 1, found
    assert len(found) == 1, "what follows from a fault is no fault of its own"
    assert str(folder) in found[0].found and found[0].remedy and not found[0].fits


def test_an_adapter_alone(tmp_path: Path) -> None:
    files = {"adapter_config.json": {}, "adapter_model.safetensors": tensors(), "tokenizer.json": TOKENIZER}
    found = look(write(tmp_path / "a", files | {"tokenizer_config.json": {"chat_template": "x"}}))
    assert [one.what for one in found] == ["adapter"] and "merge_and_unload" in found[0].remedy


def test_all_faults_of_a_folder_at_once(folder: Path) -> None:
    config = without(auto_map={}, quantization_config={"quant_method": "awq", "bits": 4}, eos_token_id=9)
    write(folder, {"config.json": config, "model.safetensors": tensors(cut=1), "tokenizer_config.json": {}})
    with pytest.raises(LunarError) as caught:
        check_folder(folder)
    found = str(caught.value).splitlines()
    assert len(found) == 5 and all(str(folder) in line and "; " in line for line in found), found


def test_other_places_of_a_template(folder: Path) -> None:
    for files in (
        {"chat_template.jinja": "{{ messages }}"},
        {"chat_template.jinja": None, "chat_template.json": {"chat_template": "{{ messages }}"}},
        {
            "chat_template.json": None,
            "tokenizer_config.json": {"chat_template": [{"name": "default", "template": "{{ messages }}"}]},
        },
    ):
        write(folder, {"tokenizer_config.json": {}} | files)
        assert look(folder) == []


def test_no_folder(tmp_path: Path) -> None:
    assert [one.remedy for one in look(tmp_path / "none")] == ["correct model.folder"]


def test_it_needs_no_torch() -> None:
    code = "import sys, lunar.model.folder; sys.exit(bool({'torch', 'transformers', 'jinja2'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT / "scripts", check=False).returncode == 0


def test_links_to_files_that_are_gone_are_said_alone(model_folder: Path, tmp_path: Path) -> None:
    """As in results that were moved with the models that they link to."""
    for file in model_folder.iterdir():
        (tmp_path / file.name).symlink_to(f"/nowhere/{file.name}")
    [one] = look(tmp_path)
    assert "chat_template.jinja is a link to /nowhere/chat_template.jinja, which is not there" in one.found
    with pytest.raises(LunarError, match=f"delete {tmp_path}"):
        check_tokenizer(tmp_path)
