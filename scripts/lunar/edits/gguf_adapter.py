"""An adapter and its base model as GGUF, the format of llama.cpp and Ollama.

GGUF has names of its own for weights: ``layers.24.mlp.down_proj`` is ``blk.24.ffn_down``. Llama's rotary embedding
pairs the two halves of a head's outputs, llama.cpp's pairs neighbours. So the rows of q and k projections are put in
llama.cpp's order, in the base and in the adapter's B alike. A low-rank change of another weight is written as it is.

llama.cpp multiplies an adapter by alpha over the rank of each tensor, PEFT by alpha over one rank for all. The two
agree where all modules have that one rank, so other adapters are refused.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import (
    MODEL_ARCH_NAMES,
    GGUFType,
    GGUFWriter,
    Keys,
    LlamaFileType,
    SpecialVocab,
    TokenType,
    get_tensor_name_map,
)
from safetensors.torch import load_file

from lunar.errors import LunarError
from lunar.files import atomic_write, read_json
from lunar.model.load import load_model, load_tokenizer

# llama.cpp's architecture by ``model_type`` of config.json, for models whose blocks keep their names.
ARCHITECTURES = {
    "llama": "llama",
    "mistral": "llama",
    "granite": "granite",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
    "gemma": "gemma",
    "gemma2": "gemma2",
    "gemma3_text": "gemma3",
    "olmo2": "olmo2",
}
PERMUTED = ("llama", "granite")  # architectures whose q and k rows llama.cpp's converter puts in another order
FILE_TYPES = {"float32": LlamaFileType.ALL_F32, "float16": LlamaFileType.MOSTLY_F16}
PREFIX = "base_model.model."  # of PEFT's keys, before the model's own names
ELSEWHERE = "let llama.cpp's convert_hf_to_gguf.py write it"

# How llama.cpp calls the way in which a tokenizer cuts text into words, by the types of tokenizer.json's pre_tokenizer.
WORDS = {("ByteLevel",): "gpt-2", ("Digits", "ByteLevel"): "smollm"}


def write_adapter(peft: Path, base: Path, path: Path) -> int:
    """Write a PEFT folder's LoRA as a GGUF adapter, float32.

    Args:
        peft: folder with adapter_config.json and adapter_model.safetensors.
        base: folder of the model that the adapter was made for; its config.json is read.
        path: where to.

    Returns:
        How many modules the adapter changes.

    Raises:
        LunarError: the adapter's modules have several ranks or scales, or GGUF has no name for one of them.
    """
    said, config = read_json(peft / "adapter_config.json"), read_json(base / "config.json")
    architecture = _architecture(config, base)
    names = _names(architecture, config)
    pairs = _pairs(peft, said)
    with atomic_write(path) as temporary:
        writer = GGUFWriter(temporary, architecture)
        writer.add_type(GGUFType.ADAPTER)
        writer.add_string(Keys.Adapter.TYPE, "lora")
        writer.add_float32(Keys.Adapter.LORA_ALPHA, float(said["lora_alpha"]))
        writer.add_name(f"LoRA adapter of {said['base_model_name_or_path']}")
        for module, (a, b) in sorted(pairs.items()):
            name = names.get_name(module)
            if name is None:
                raise LunarError(f"{peft}: GGUF has no name for {module} of a {config['model_type']} model")
            writer.add_tensor(f"{name}.weight.lora_a", _array(a, "float32"))
            writer.add_tensor(f"{name}.weight.lora_b", _array(reordered(b, module, config), "float32"))
        _write(writer)
    return len(pairs)


def write_base(folder: Path, path: Path, dtype: str) -> int:
    """Write a model of Llama's or Mistral's kind as GGUF, with its tokenizer.

    Args:
        folder: the model's folder.
        path: where to.
        dtype: float32 or float16, of matrices; all else is float32.

    Returns:
        The file's size in bytes.

    Raises:
        LunarError: the architecture, its rotary embedding or its tokenizer is one that is not written here.
    """
    config = read_json(folder / "config.json")
    architecture = _architecture(config, folder)
    rope = config.get("rope_parameters") or {}
    if architecture != "llama" or rope.get("rope_type", "default") != "default":
        said = f"model_type {config['model_type']}, rope_type {rope.get('rope_type', 'default')}"
        raise LunarError(f"{folder}: no GGUF of {said} is written here; {ELSEWHERE}")
    model = load_model(folder, "float32", device="cpu")
    names = _names(architecture, config)
    with atomic_write(path) as temporary:
        writer = GGUFWriter(temporary, architecture)
        writer.add_name(folder.name)
        writer.add_file_type(FILE_TYPES[dtype])
        _sizes(writer, config)
        _vocabulary(writer, folder, config["vocab_size"])
        for key, value in model.state_dict().items():
            if key == "lm_head.weight" and config.get("tie_word_embeddings"):
                continue
            name = names.get_name(key, try_suffixes=(".weight", ".bias"))
            if name is None:
                raise LunarError(f"{folder}: GGUF has no name for {key}; {ELSEWHERE}")
            value = reordered(value, key.rpartition(".")[0], config)
            writer.add_tensor(name, _array(value, dtype if value.ndim == 2 else "float32"))
        _write(writer)
        return temporary.stat().st_size


def reordered(weight: torch.Tensor, module: str, config: Mapping[str, Any]) -> torch.Tensor:
    """A weight, its bias or an adapter's B with the rows in llama.cpp's order; only those of q and k are moved.

    Args:
        weight: shape (outputs, ...). Each head has the first halves of all pairs before the second ones.
        module: its name.
        config: what config.json holds.
    """
    end = module.rpartition(".")[2]
    if end not in ("q_proj", "k_proj") or ARCHITECTURES[config["model_type"]] not in PERMUTED:
        return weight
    heads = config["num_attention_heads"]
    if end == "k_proj":
        heads = config.get("num_key_value_heads") or heads
    return weight.reshape(heads, 2, len(weight) // heads // 2, -1).swapaxes(1, 2).reshape(weight.shape)


def _architecture(config: Mapping[str, Any], folder: Path) -> str:
    kind = config.get("model_type")
    if kind not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise LunarError(f"{folder / 'config.json'}: no GGUF is written of model_type {kind}, only of {known}")
    return ARCHITECTURES[kind]


def _names(architecture: str, config: Mapping[str, Any]) -> Any:
    """GGUF's names of the weights, by those of the model."""
    [number] = [key for key, name in MODEL_ARCH_NAMES.items() if name == architecture]
    return get_tensor_name_map(number, config["num_hidden_layers"])


def _pairs(peft: Path, said: Mapping[str, Any]) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """A of shape (rank, inputs) and B of shape (outputs, rank) by module, all of one rank."""
    path = peft / "adapter_model.safetensors"
    if said.get("use_rslora") or said.get("use_dora") or said.get("rank_pattern") or said.get("alpha_pattern"):
        raise LunarError(f"{peft / 'adapter_config.json'}: only plain LoRA of one rank and one alpha has a GGUF form")
    halves: dict[str, dict[str, torch.Tensor]] = {}
    for key, value in load_file(path).items():
        module, _, half = key.removeprefix(PREFIX).removesuffix(".weight").rpartition(".")
        if not key.startswith(PREFIX) or half not in ("lora_A", "lora_B"):
            raise LunarError(f"{path}: {key} is no half of a LoRA, whose keys end with lora_A.weight or lora_B.weight")
        halves.setdefault(module, {})[half] = value
    for module, found in halves.items():
        ranks = {"lora_A": len(found.get("lora_A", ())), "lora_B": found["lora_B"].shape[1] if "lora_B" in found else 0}
        for half, rank in ranks.items():
            if rank != said["r"]:
                raise LunarError(f"{path}: {module}.{half} has rank {rank}, but adapter_config.json has r: {said['r']}")
    return {module: (found["lora_A"], found["lora_B"]) for module, found in halves.items()}


def _sizes(writer: GGUFWriter, config: Mapping[str, Any]) -> None:
    """The numbers that llama.cpp builds the model by."""
    heads = config["num_attention_heads"]
    width = config.get("head_dim") or config["hidden_size"] // heads
    rope = config.get("rope_parameters") or {}
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.get("num_key_value_heads") or heads)
    writer.add_key_length(width)
    writer.add_value_length(width)
    writer.add_rope_dimension_count(width)
    writer.add_rope_freq_base(float(rope.get("rope_theta", config.get("rope_theta", 10000.0))))
    writer.add_layer_norm_rms_eps(float(config["rms_norm_eps"]))
    writer.add_vocab_size(config["vocab_size"])


def _vocabulary(writer: GGUFWriter, folder: Path, size: int) -> None:
    """The tokenizer: tokens, merges, special tokens and chat template."""
    told = read_json(folder / "tokenizer.json")
    if told["model"]["type"] != "BPE" or told["model"].get("byte_fallback"):
        raise LunarError(f"{folder / 'tokenizer.json'}: only byte-level BPE is written as GGUF here; {ELSEWHERE}")
    added = {one["id"]: one for one in told.get("added_tokens") or []}
    known = {number: text for text, number in load_tokenizer(folder).get_vocab().items()}
    texts, kinds = [], []
    for number in range(size):
        texts.append(known.get(number, f"[PAD{number}]"))
        if number not in known:
            kinds.append(TokenType.UNUSED)
        elif number in added:
            kinds.append(TokenType.CONTROL if added[number]["special"] else TokenType.USER_DEFINED)
        else:
            kinds.append(TokenType.NORMAL)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(words(told))
    writer.add_token_list(texts)
    writer.add_token_types(kinds)
    SpecialVocab(folder, load_merges=True, n_vocab=size).add_to_gguf(writer, quiet=True)


def words(tokenizer: Mapping[str, Any]) -> str:
    """How llama.cpp calls a tokenizer's way of cutting text into words; ``default`` where it has no such way.

    With ``default`` llama.cpp may cut a text otherwise. Such a model must be given token ids.

    Args:
        tokenizer: what tokenizer.json holds.
    """
    told = tokenizer.get("pre_tokenizer") or {}
    steps = told.get("pretokenizers") or [told]
    return WORDS.get(tuple(str(step.get("type")) for step in steps), "default")


def _array(tensor: torch.Tensor, dtype: str) -> np.ndarray:
    return tensor.detach().to(getattr(torch, dtype)).contiguous().numpy()


def _write(writer: GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def metadata(path: Path) -> Iterator[tuple[str, Any]]:
    """Keys and values of a GGUF file, but for the header's own counts."""
    from gguf import GGUFReader

    for key, field in GGUFReader(path).fields.items():
        if not key.startswith("GGUF."):
            yield key, field.contents()


def tensors(path: Path) -> dict[str, np.ndarray]:
    """Tensors of a GGUF file by name, in the shapes that torch has for them."""
    from gguf import GGUFReader

    return {one.name: one.data for one in GGUFReader(path).tensors}
