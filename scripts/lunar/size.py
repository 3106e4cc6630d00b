"""How large a configured model is, before it is fetched: what memory and time are asked for by. Needs no torch."""

import json
import re
from pathlib import Path

SHIPPED = 135_000_000  # parameters of SmolLM2-135M-Instruct, which the rules' own numbers are for
UNITS = {"m": 10**6, "b": 10**9}


def parameters(model: dict) -> int:
    """Estimate the number of parameters of a ``model`` section of the configuration.

    From the sizes in a local folder's config.json, or those stated for random weights; else from a number in its name,
    such as 7b or 135M. A model that says nothing counts as the shipped one.
    """
    if model["source"] == "random":
        return of_sizes(model["size"] | {"vocab_size": model["vocabulary"]})
    stated = Path(model.get("folder", ""), "config.json")
    if model["source"] == "path" and stated.is_file():
        sizes = json.loads(stated.read_text(encoding="utf-8"))
        if {"hidden_size", "num_hidden_layers"} <= sizes.keys():
            return of_sizes(sizes)
    for text in (model.get("id", ""), Path(model.get("folder", "")).name, model.get("file", ""), model["name"]):
        found = re.search(r"(?<![a-z0-9.])(\d+(?:\.\d+)?)([mb])(?![a-z0-9])", text.lower())
        if found:
            return int(float(found[1]) * UNITS[found[2]])
    return SHIPPED


def of_sizes(sizes: dict) -> int:
    """Parameters of a decoder with a gated MLP, by the entries of its config.json; norms and biases left out."""
    width, layers = sizes["hidden_size"], sizes["num_hidden_layers"]
    heads = sizes.get("num_attention_heads") or 1
    head = sizes.get("head_dim") or width // heads
    attention = 2 * width * head * (heads + (sizes.get("num_key_value_heads") or heads))  # q and o, k and v
    mlp = 3 * width * (sizes.get("intermediate_size") or 4 * width)
    tables = 1 if sizes.get("tie_word_embeddings") else 2
    return layers * (attention + mlp) + tables * width * sizes.get("vocab_size", 0)
