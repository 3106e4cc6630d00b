"""Whether a model from elsewhere and the model before belong together, as far as their files tell. Needs no torch.

``snakemake check`` asks here in seconds, and the job that takes a model in asks before it loads anything.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lunar.errors import shown
from lunar.model.findings import Finding
from lunar.model.folder import header, look, read_object, weights, wrong

ADAPTER, CONFIG = "adapter_model.safetensors", "config.json"
# Entries of config.json that do not change what a model computes.
BOOKKEEPING = {
    *("architectures", "dtype", "torch_dtype", "transformers_version", "use_cache", "tie_word_embeddings"),
    *("vocab_size", "bos_token_id", "eos_token_id", "pad_token_id", "name_or_path", "_name_or_path"),
}
OTHER = "name an adapter on the model before, or as the model before the one that it was trained on"


def is_adapter(origin: Path) -> bool:
    """Whether a folder holds a PEFT adapter and no model."""
    return (origin / "adapter_config.json").is_file() and not (origin / CONFIG).is_file()


def unfit(origin: Path, before: Path) -> list[Finding]:
    """What keeps a folder from being a model, or an adapter, of the model before.

    Args:
        origin: a Hugging Face model folder, or a PEFT folder.
        before: folder of the model before.
    """
    found: list[Finding] = []
    if is_adapter(origin):
        found += _adapter(origin, before)
    else:
        # Its own tokenizer is not used, so it may have none.
        found += (one for one in look(origin) if one.what not in ("tokenizer", "template", "ids"))
        if not found:
            found += other_config(origin, *(read_object(folder / CONFIG, found) for folder in (origin, before)))
    return found + list(_vocabulary(origin, before))


def other_config(origin: Path, own: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[Finding]:
    """The entries that two configurations both state and that differ."""
    keys = sorted((own.keys() & wanted.keys()) - BOOKKEEPING, key=lambda key: (key != "model_type", key))
    if other := [key for key in keys if own[key] != wanted[key]]:
        said = ", ".join(f"{key} {shown(own[key])}, not {shown(wanted[key])}" for key in other[:3])
        what = f"{origin}: its config.json is not that of the model before ({said})"
        return [wrong("architecture", what, "name one that was made of it")]
    return []


def _vocabulary(origin: Path, before: Path) -> Iterator[Finding]:
    """Tokens that have another number; those that were added are looked at when the tokenizers are loaded."""
    faults: list[Finding] = []
    files = [folder / "tokenizer.json" for folder in (origin, before)]
    if not all(file.is_file() for file in files):
        return
    own, wanted = (read_object(file, faults).get("model", {}).get("vocab", {}) for file in files)
    yield from faults
    if isinstance(own, dict) and isinstance(wanted, dict):
        yield from other_tokens(origin, own, wanted)


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
        if there is None:
            yield wrong("adapter", f"{origin}: it adapts {module}, which the model before does not have", OTHER)
            return
        side = 1 if half.startswith("A") else 0
        if len(there[1]) == len(shape) == 2 and shape[side] != there[1][side]:
            what, count = ("outputs", "inputs")[side], there[1][side]
            said = f"{origin}: its {module} has {shape[side]} {what}, and that of the model before {count}"
            yield wrong("adapter", said, OTHER)
            return
