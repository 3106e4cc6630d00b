"""Whether a model from elsewhere and the model before belong together, as far as their files tell. Needs no torch.

``snakemake check`` asks here in seconds, and the job that takes a model in asks before it loads anything.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lunar.errors import shown
from lunar.model.findings import Finding
from lunar.model.folder import Tensors, header, look, read_json, read_object, weights, wrong

ADAPTER, CONFIG = "adapter_model.safetensors", "config.json"
ADAPTER_CONFIG = "adapter_config.json"
WHOLE = ("model.safetensors", "model.safetensors.index.json")
IDS = ("bos_token_id", "eos_token_id", "pad_token_id")
# Entries of config.json that do not change what a model computes.
BOOKKEEPING = {
    *("architectures", "dtype", "torch_dtype", "transformers_version", "use_cache", "tie_word_embeddings"),
    *("vocab_size", *IDS, "name_or_path", "_name_or_path", "_attn_implementation_autoset"),
    # Of training alone.
    *("attention_dropout", "initializer_range"),
}
OTHER = "name an adapter on the model before, or as the model before the one that it was trained on"
# Adapters that put vectors before the question and change no weight.
PROMPTS = {"PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "MULTITASK_PROMPT_TUNING", "ADAPTION_PROMPT", "CPT"}


def is_adapter(origin: Path) -> bool:
    """Whether a folder holds a PEFT adapter and no model; some tools save the model's configuration beside one."""
    whole = any((origin / name).is_file() for name in WHOLE)
    return (origin / ADAPTER_CONFIG).is_file() and not whole


def unfit(origin: Path, before: Path) -> list[Finding]:
    """What keeps a folder from being a model, or an adapter, of the model before.

    Args:
        origin: a Hugging Face model folder, or a PEFT folder.
        before: folder of the model before.
    """
    if not any((origin / name).is_file() for name in (CONFIG, ADAPTER_CONFIG, *WHOLE)):
        return [_neither(origin)]
    found: list[Finding] = []
    if is_adapter(origin):
        found += _adapter(origin, before)
    else:
        # Its own tokenizer is not used, so it may have none.
        found += (one for one in look(origin) if one.what not in ("tokenizer", "template", "ids"))
        if not found:
            found += other_config(origin, *(read_object(folder / CONFIG, found) for folder in (origin, before)))
            found += _fewer_rows(origin, before)
    found += _vocabulary(origin, before)
    return list(dict.fromkeys(found))  # a file that cannot be read is found by several


def _neither(origin: Path) -> Finding:
    """The finding that a folder holds neither a model nor an adapter; it names those below it that do."""
    below = sorted(path.parent.name for name in (CONFIG, ADAPTER_CONFIG) for path in origin.glob(f"*/{name}"))
    remedy = "name a Hugging Face model folder, or a PEFT folder"
    if below:
        remedy = f"name {' or '.join(str(origin / name) for name in dict.fromkeys(below))}"
    return wrong("folder", f"neither {CONFIG} nor {ADAPTER_CONFIG} in {origin}", remedy)


def other_config(origin: Path, own: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[Finding]:
    """The entries that two configurations both state and that differ."""
    keys = sorted((own.keys() & wanted.keys()) - BOOKKEEPING, key=lambda key: (key != "model_type", key))
    if other := [key for key in keys if own[key] != wanted[key]]:
        said = ", ".join(f"{key} {shown(own[key])}, not {shown(wanted[key])}" for key in other[:3])
        what = f"{origin}: its config.json is not that of the model before ({said})"
        return [wrong("architecture", what, "name one that was made of it")]
    return []


def rows(tensors: Tensors) -> int:
    """Rows of the embeddings."""
    return next(shape[0] for name, (_, shape) in tensors.items() if name.endswith("embed_tokens.weight"))


def _fewer_rows(origin: Path, before: Path) -> Iterator[Finding]:
    """Tokens of the model before that a model has no embedding for."""
    told = read_json(before / "tokenizer.json", []) if (before / "tokenizer.json").is_file() else None
    vocabulary = told["model"].get("vocab") if isinstance(told, dict) and isinstance(told.get("model"), dict) else None
    there, last = rows(weights(origin, [])), max(vocabulary.values()) if isinstance(vocabulary, dict) else -1
    if last >= there:
        said = f"{origin}: it has {there} embeddings, and tokens of the model before go up to number {last}"
        yield wrong("embeddings", said, "name a model that has an embedding for each of them")


def _vocabulary(origin: Path, before: Path) -> Iterator[Finding]:
    """Tokens that have another number; those that were added are looked at when the tokenizers are loaded."""
    faults: list[Finding] = []
    files = [folder / "tokenizer.json" for folder in (origin, before)]
    if not all(file.is_file() for file in files):
        return
    own, wanted = (read_object(file, faults) for file in files)
    if not faults and not isinstance(own.get("model"), dict):
        faults.append(wrong("tokenizer", f"{files[0]} has no model", "save the tokenizer again"))
    yield from faults
    vocabularies = [one["model"].get("vocab") for one in (own, wanted)] if not faults else []
    if vocabularies and all(isinstance(one, dict) for one in vocabularies):
        yield from other_tokens(origin, *vocabularies)


def other_tokens(origin: Path, own: Mapping[str, int], wanted: Mapping[str, int]) -> list[Finding]:
    """Tokens of the model before that have another number, or none."""
    other = sorted((number, token) for token, number in wanted.items() if own.get(token) != number)
    if not other:
        return []
    number, token = other[0]
    said = (
        f"{origin}: its tokenizer is not that of the model before ({len(other)} tokens differ; {token!r} has number "
        f"{own.get(token, 'none')}, and {number} there), so the two cannot be compared"
    )
    return [wrong("tokenizer", said, "name a model of the same tokenizer")]


def _adapter(origin: Path, before: Path) -> Iterator[Finding]:
    """What keeps an adapter's weights from being added to those of the model before."""
    path, faults = origin / ADAPTER, []
    kind = read_object(origin / ADAPTER_CONFIG, faults).get("peft_type")
    if faults:
        yield from faults
        return
    if not isinstance(kind, str):
        yield wrong("adapter", f"{origin / ADAPTER_CONFIG} has no peft_type", "save it again with PEFT")
        return
    if kind in PROMPTS:
        said = f"{origin}: an adapter of peft_type {kind} changes no weight, so it cannot be merged into the model"
        yield wrong("adapter", said, "name one that changes weights, such as a LoRA")
        return
    if not path.is_file():
        said = f"{origin}: no {ADAPTER}, and pickled weights are never loaded"
        yield wrong("adapter", said, "save it with safe_serialization=True")
        return
    tensors, base = header(path, faults), weights(before, faults)
    yield from faults
    for name, (_, shape) in tensors.items() if not faults else ():
        module, _, half = name.removeprefix("base_model.model.").partition(".lora_")
        if not half:
            continue
        there = base.get(f"{module}.weight")
        if there is None and module == "lm_head":  # tied, so files have the embeddings alone
            there = next((one for key, one in base.items() if key.endswith("embed_tokens.weight")), None)
        if there is None:
            yield wrong("adapter", f"{origin}: it adapts {module}, which the model before does not have", OTHER)
            return
        # An embedding has a row a token, where other weights have one an output.
        of_tokens = half.startswith("embedding_")
        side = 1 if half.removeprefix("embedding_").startswith("A") else 0
        sizes = there[1][::-1] if of_tokens else there[1]
        if len(sizes) == len(shape) == 2 and shape[side] != sizes[side]:
            what = (("columns", "tokens") if of_tokens else ("outputs", "inputs"))[side]
            said = f"{origin}: its {module} has {shape[side]} {what}, and that of the model before {sizes[side]}"
            yield wrong("adapter", said, OTHER)
            return
