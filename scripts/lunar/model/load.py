"""Models: where they come from, and the two places in them that LUNAR touches."""

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lunar.errors import LunarError, out_of_memory
from lunar.files import atomic_folder, read_json
from lunar.model.devices import own_device
from lunar.model.folder import PREFIXES, check_folder, check_tokenizer


def blocks(model: Any) -> nn.ModuleList:
    """The transformer blocks of a causal language model (Llama, Mistral, Qwen2, Gemma and their kin).

    Raises:
        LunarError: the model keeps its blocks elsewhere.
    """
    layers = getattr(model.get_decoder(), "layers", None)
    if not isinstance(layers, nn.ModuleList):
        raise LunarError(f"{type(model).__name__}: no list of blocks at decoder.layers")
    return layers


@contextmanager
def up_to(model: Any, last: int | None) -> Iterator[None]:
    """Leave out the blocks above ``last`` inside the block: what is read below does not depend on them."""
    decoder, every = model.get_decoder(), blocks(model)
    decoder.layers = every if last is None else every[: last + 1]
    try:
        yield
    finally:
        decoder.layers = every


def down_proj(model: Any, layer: int) -> nn.Linear:
    """The MLP output projection of block ``layer``: weight of shape (d_model, d_ff).

    Raises:
        LunarError: the block has no ``mlp.down_proj``, for example in a mixture of experts.
    """
    module = getattr(getattr(blocks(model)[layer], "mlp", None), "down_proj", None)
    if not isinstance(module, nn.Linear):
        raise LunarError(f"{type(model).__name__}: block {layer} has no linear mlp.down_proj, which LUNAR edits")
    return module


def changed_modules(model: Any, before: Any) -> dict[str, tuple[nn.Linear, nn.Linear]]:
    """The linear modules of the blocks whose weights differ between two models, in pairs, by the decoder's names.

    Raises:
        LunarError: the models have different numbers of blocks.
    """
    own, old = blocks(model), blocks(before)
    if len(own) != len(old):
        raise LunarError(f"the model has {len(own)} blocks and the one from before {len(old)}; they are not a pair")
    pairs = {
        f"layers.{layer}.{name}": (module, old[layer].get_submodule(name))
        for layer, block in enumerate(own)
        for name, module in block.named_modules()
        if isinstance(module, nn.Linear)
    }
    return {name: (one, other) for name, (one, other) in pairs.items() if not torch.equal(one.weight, other.weight)}


def bfloat16_gains() -> bool:
    """Whether this processor multiplies bfloat16 matrices natively (AMX or AVX-512 BF16)."""
    return torch.backends.cpu.get_cpu_capability() == "AVX512" and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def mixed_precision(model: Any) -> Any:
    """A context in which matrices are multiplied in bfloat16 where that gains, as in fine-tuning, sums kept in float32.

    Measured on SmolLM2-135M, one core with AMX: greedy answers to 100 questions in 14.7 s instead of 29.5 s, word for
    word the same.
    """
    device = model.device.type
    return torch.autocast(device, torch.bfloat16, enabled=device == "cuda" or bfloat16_gains())


@contextmanager
def rounded(model: Any) -> Iterator[None]:
    """Have float32 matrices in bfloat16 inside the block, where ``mixed_precision`` would round them at every call.

    The same answers in 7.3 s instead of 9.1 s (100 questions, two cores). Matrices that are being trained are left, and
    all are put back at the end, bit for bit; changes made inside the block are lost.
    """
    held = {}
    if mixed_precision(model)._enabled:
        for module in model.modules():
            trained = torch.is_grad_enabled() and module.weight.requires_grad if type(module) is nn.Linear else True
            if not trained and module.weight.dtype == torch.float32:
                held[module] = module.weight
                module.weight = nn.Parameter(module.weight.detach().to(torch.bfloat16), requires_grad=False)
    try:
        yield
    finally:
        for module, weight in held.items():
            module.weight = weight


def logits(model: Any, states: torch.Tensor) -> torch.Tensor:
    """What the model makes of final hidden states, shape (..., d_model) to (..., vocabulary).

    For callers that want it at few positions only. The model's own forward pass computes it, with the states in place
    of what its decoder gives, so scales and caps of a family are in it (Granite, Cohere, Gemma2).
    """
    from transformers.modeling_outputs import BaseModelOutputWithPast

    class Given(BaseModelOutputWithPast):
        """What a decoder gives; what families pass on beside its states (Gemma 4) is none."""

        def __getattr__(self, name: str) -> None:
            return None

    decoder, head = model.get_decoder(), model.get_output_embeddings()
    rows = states.to(head.weight.dtype).reshape(1, -1, states.shape[-1])
    given = Given(last_hidden_state=rows)
    decoder.forward = lambda *_, **__: given
    try:
        found = model(inputs_embeds=rows, use_cache=False).logits
    finally:
        del decoder.forward
    return found.reshape(*states.shape[:-1], -1)


def misnamed(missing: Iterable[str], unexpected: Iterable[str], mismatched: Iterable[str]) -> str:
    """What is wrong between a model's weights and the names in its files, in one sentence; empty where all fit.

    Args:
        missing: weights that no file has, which would stay random.
        unexpected: names in the files that the model has no weight for.
        mismatched: weights whose shape in the files is another one.
    """
    kinds = {"missing": missing, "not the model's": unexpected, "of another shape": mismatched}
    found = {kind: sorted(names) for kind, names in kinds.items() if names}
    if not found:
        return ""
    said = "; ".join(
        f"{len(names)} {kind}: {', '.join(names[:3])}{', ...' * (len(names) > 3)}" for kind, names in found.items()
    )
    extra = found.get("not the model's", [])
    told = [how for prefix, how in PREFIXES.items() if any(prefix in name for name in extra)]
    return f"the weights do not fit the model ({said}); {told[0] if told else 'save it again with save_pretrained'}"


def _unread(path: str | Path, what: str, error: Exception) -> LunarError:
    """What the library said when it could not read a folder, in one line, by the names of files alone."""
    said = " ".join(str(error).replace(f"{path}/", "").split()) or type(error).__name__
    return LunarError(
        f"{path}: the {what} cannot be read: {said[:200]}; correct its configuration, or take a folder that "
        "transformers of this version can load"
    )


def load_tokenizer(path: str | Path) -> Any:
    """The tokenizer of a local model folder, with a padding token, and with ``generation_ends``.

    Raises:
        LunarError: as ``lunar.model.folder.check_tokenizer``; or the library cannot read it.
    """
    from transformers import AutoTokenizer

    check_tokenizer(Path(path))
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # the library raises many kinds
        raise _unread(path, "tokenizer", error) from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.generation_ends = generation_ends(Path(path))
    return tokenizer


def generation_ends(folder: Path) -> list[int]:
    """The tokens at which a model's own generation settings end an answer; there may be several, as in Llama 3."""
    for name in ("generation_config.json", "config.json"):
        if (folder / name).is_file():
            found = read_json(folder / name).get("eos_token_id")
            if found is not None:
                return [found] if isinstance(found, int) else list(found)
    return []


def pretrained(path: str | Path, dtype: torch.dtype, **where: Any) -> Any:
    """A causal language model with the weights of a local folder, and no weight that is not in it.

    Args:
        path: the folder.
        dtype: of the weights.
        where: further arguments of transformers' ``from_pretrained``, such as ``gguf_file``.

    Raises:
        LunarError: a weight is missing, is not the model's or has another shape; a file cannot be read.
    """
    from transformers import AutoModelForCausalLM

    own = {"local_files_only": True, "trust_remote_code": False, "output_loading_info": True}
    try:
        # Sizes are compared below, where the message is ours.
        model, told = AutoModelForCausalLM.from_pretrained(
            path, dtype=dtype, ignore_mismatched_sizes=True, **own, **where
        )
    except Exception as error:  # the library raises many kinds
        if out_of_memory(error) or os.strerror(errno.ENOSPC) in str(error):
            raise
        raise _unread(path, "model", error) from error
    mismatched = [name for name, *_ in told["mismatched_keys"]]
    if wrong := misnamed(told["missing_keys"], told["unexpected_keys"], mismatched):
        raise LunarError(f"{path}: {wrong}")
    return model


def load_model(path: str | Path, dtype: str = "float32", device: str | None = None) -> Any:
    """The causal language model of a local folder, in evaluation mode.

    On ``device``; unless stated on a GPU of this job's own, where there is one.

    Raises:
        LunarError: as ``pretrained`` and ``lunar.model.folder.check_folder``.
    """
    from transformers import GenerationConfig

    check_folder(Path(path))
    model = pretrained(path, getattr(torch, dtype), use_safetensors=True)
    # The workflow alone states how to decode. Some models bring a temperature or a repetition penalty.
    # What ends an answer is kept, for a model that is saved again.
    model.generation_config = GenerationConfig(eos_token_id=generation_ends(Path(path)) or None)
    return model.to(device or own_device()).eval()


def save_model(model: Any, tokenizer: Any, folder: str | Path) -> None:
    """Write a model folder, whole or not at all."""
    with atomic_folder(folder) as temporary:
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
