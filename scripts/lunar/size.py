"""How large a configured model is, before it is fetched: what memory and time are asked for by. Needs no torch."""

import json
import re
from pathlib import Path

SHIPPED = 135_000_000  # parameters of SmolLM2-135M-Instruct, which the rules' own numbers are for
UNITS = {"m": 10**6, "b": 10**9}

# Bytes of memory for each parameter that a model has more than the shipped one: its weights in float32 and half as much
# again; in fine-tuning also its gradient and AdamW's two moments.
LOADED, TRAINED = 6, 20
# MB of the largest job with the shipped model, by the same.
LARGEST = {LOADED: 3500, TRAINED: 3700}


def parameters(model: dict) -> int:
    """Estimate the number of parameters of a ``model`` section of the configuration.

    From the sizes in a local folder's config.json, or those stated for random weights; else from a number in its name,
    such as 7b or 135M. A model that says nothing counts as the shipped one.
    """
    if model["source"] == "random":
        return of_sizes(model["size"] | {"vocab_size": model["vocabulary"]})
    if model["source"] == "path" and (stated := sizes(Path(model["folder"]))):
        return of_sizes(stated)
    for text in (model.get("id", ""), Path(model.get("folder", "")).name, model.get("file", ""), model["name"]):
        found = re.search(r"(?<![a-z0-9.])(\d+(?:\.\d+)?)([mb])(?![a-z0-9])", text.lower())
        if found:
            return int(float(found[1]) * UNITS[found[2]])
    return SHIPPED


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


def memory(parameters: int, finetuned: bool) -> int:
    """Bytes of memory that the largest job of an experiment is estimated to need, as the rules ask for it."""
    each = TRAINED if finetuned else LOADED
    return LARGEST[each] * 10**6 + max(0, parameters - SHIPPED) * each


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
    return layers * (attention + mlp) + tables * width * sizes.get("vocab_size", 0)
