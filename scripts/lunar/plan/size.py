"""How large a configured model is, before it is fetched: what memory and time are asked for by. Needs no torch."""

import json
import re
from pathlib import Path

SHIPPED = 135_000_000  # parameters of SmolLM2-135M-Instruct, which the rules' own numbers are for
UNITS = {"m": 10**6, "b": 10**9}

# Bytes of memory for each parameter that a model has more than the shipped one. A loaded model has its weights in
# float32, and half as much again. Fine-tuning adds the gradient and AdamW's two moments, in float32.
LOADED, TRAINED = 6, 20
# Bytes of the sums over the shipped model's activations, which the rules' own numbers hold already.
SUMS = 10**9
# MB of the largest job with the shipped model, by the same.
LARGEST = {LOADED: 3500, TRAINED: 3700}


def parameters(model: dict) -> int:
    """Estimate the number of parameters of a ``model`` section of the configuration.

    It comes from the sizes in a local folder's config.json, or those stated for random weights or a model on a hub.
    Else it comes from a number in the name, such as 7b or 135M. A model that says nothing counts as the shipped one.
    """
    if known := stated(model):
        return of_sizes(known)
    for text in (model.get("id", ""), Path(model.get("folder", "")).name, model.get("file", ""), model["name"]):
        found = re.search(r"(?<![a-z0-9.])(\d+(?:\.\d+)?)([mb])(?![a-z0-9])", text.lower())
        if found:
            return int(float(found[1]) * UNITS[found[2]])
    return SHIPPED


def stated(model: dict) -> dict:
    """The entries of its config.json that a ``model`` section states, or its local folder has; empty for none."""
    if model["source"] == "path":
        return sizes(Path(model["folder"]))
    found = dict(model.get("size") or {})
    return found | ({"vocab_size": model["vocabulary"]} if model["source"] == "random" else {})


def loaded(dtype: str) -> int:
    """Bytes for each parameter of a model that is loaded in ``dtype``."""
    return LOADED if dtype == "float32" else LOADED // 2


def sizes(folder: Path) -> dict:
    """The entries of a model folder's config.json; empty where there is none, or none that says how large it is."""
    path = folder.expanduser() / "config.json"
    try:
        stated = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(stated, dict):
        return {}
    stated = stated.get("text_config", stated)  # of a model that also sees
    return stated if {"hidden_size", "num_hidden_layers"} <= stated.keys() else {}


def memory(parameters: int, finetuned: bool, dtype: str = "float32", sums: int = 0) -> int:
    """Bytes of memory that the largest job of an experiment is estimated to need, as the rules ask for it.

    Args:
        parameters: of the model.
        finetuned: whether it is fine-tuned first.
        dtype: that it is loaded in afterwards.
        sums: bytes that the sums over its activations take more than the shipped model's.
    """
    larger = max(0, parameters - SHIPPED)
    solved = LARGEST[LOADED] * 10**6 + larger * loaded(dtype) + sums
    return max(solved, LARGEST[TRAINED] * 10**6 + larger * TRAINED) if finetuned else solved


def larger_sums(sizes: dict, candidates: int) -> int:
    """Bytes that the sums of ``statistics`` are more than the shipped model's; 0 where the sizes are not known."""
    return max(0, (statistics(sizes, candidates) or 0) - SUMS)


def statistics(sizes: dict, candidates: int) -> int | None:
    """Bytes on disk of the sums that solves start from; None where the sizes are not known.

    A float32 matrix of (d_ff, d_ff) for each of four sets, candidate block, and span or mean of the prompt.
    """
    if "hidden_size" not in sizes:
        return None
    inner = sizes.get("intermediate_size") or 4 * sizes["hidden_size"]
    return 4 * 5 * candidates * 4 * inner**2


def of_sizes(sizes: dict) -> int:
    """Parameters of a decoder with a gated MLP, by the entries of its config.json; norms and biases left out."""
    width, layers = sizes["hidden_size"], sizes["num_hidden_layers"]
    heads = sizes.get("num_attention_heads") or 1
    head = sizes.get("head_dim") or width // heads
    attention = 2 * width * head * (heads + (sizes.get("num_key_value_heads") or heads))  # q and o, k and v
    mlp = 3 * width * (sizes.get("intermediate_size") or 4 * width)
    tables = 1 if sizes.get("tie_word_embeddings") else 2
    return layers * (attention + mlp) + tables * width * (sizes.get("vocab_size") or 0)
