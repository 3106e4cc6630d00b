"""Models: where they come from, and the two places in them that LUNAR touches."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from lunar.errors import LunarError
from lunar.files import whole_folder


def blocks(model: Any) -> nn.ModuleList:
    """The transformer blocks of a causal language model (Llama, Mistral, Qwen2, Gemma and their kin).

    Raises:
        LunarError: the model keeps its blocks elsewhere.
    """
    layers = getattr(model.get_decoder(), "layers", None)
    if not isinstance(layers, nn.ModuleList):
        raise LunarError(f"{type(model).__name__}: no list of blocks at decoder.layers")
    return layers


def down_proj(model: Any, layer: int) -> nn.Linear:
    """The MLP output projection of block ``layer``: weight of shape (d_model, d_ff).

    Raises:
        LunarError: the block has no ``mlp.down_proj``, for example in a mixture of experts.
    """
    module = getattr(getattr(blocks(model)[layer], "mlp", None), "down_proj", None)
    if not isinstance(module, nn.Linear):
        raise LunarError(f"{type(model).__name__}: block {layer} has no linear mlp.down_proj, which LUNAR edits")
    return module


def load_tokenizer(path: str | Path) -> Any:
    """The tokenizer of a local model folder, with a padding token."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(path: str | Path, dtype: str = "float32") -> Any:
    """The causal language model of a local folder, in evaluation mode, on the GPU when there is one."""
    from transformers import AutoModelForCausalLM, GenerationConfig

    model = AutoModelForCausalLM.from_pretrained(path, dtype=getattr(torch, dtype), local_files_only=True)
    # Decoding is stated by the workflow alone: some models bring a temperature or a repetition penalty of their own.
    model.generation_config = GenerationConfig()
    return model.to("cuda" if torch.cuda.is_available() else "cpu").eval()


def save_model(model: Any, tokenizer: Any, folder: str | Path) -> None:
    """Write a model folder, whole or not at all."""
    with whole_folder(folder) as temporary:
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
