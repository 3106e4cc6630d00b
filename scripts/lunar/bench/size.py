"""What target `bench` is asked to measure, and the memory it needs. Needs no torch."""

import re
from collections.abc import Mapping
from typing import Any

from lunar.errors import LunarError, nearest
from lunar.plan.size import of_sizes

How = dict[str, Any]  # an entry of the configuration's bench.sizes


def named(section: Mapping[str, Any], gpu: bool) -> str:
    """What the files of target ``bench`` are called: an entry of its ``sizes``, at fewer blocks or not.

    Args:
        section: the configuration's ``bench``.
        gpu: there is one, which decides where no size is stated.

    Raises:
        LunarError: there is no such entry, or as for ``settings``.
    """
    sizes, name = section["sizes"], section["size"]
    if name is None:
        name = next((entry for entry, how in sizes.items() if how["gpu"] == gpu), None)
    if not re.fullmatch(pattern(sizes), str(name)):
        raise LunarError(f"bench.size: {name!r} is no entry of bench.sizes ({', '.join(sizes)}){nearest(name, sizes)}")
    at(sizes, name)
    return str(name)


def pattern(sizes: Mapping[str, How]) -> str:
    """A regular expression of such names."""
    return rf"({'|'.join(map(re.escape, sizes))})(-[1-9]\d*-blocks)?"


def at(sizes: Mapping[str, How], name: str) -> tuple[str, How]:
    """The entry that such a name has in it, and its settings."""
    entry, blocks = next(found.groups() for found in [re.fullmatch(r"(.+?)(?:-(\d+)-blocks)?", name)] if found)
    return entry, settings(entry, sizes[entry], blocks and int(blocks))


def settings(name: str, how: How, blocks: int | None) -> How:
    """An entry of ``bench.sizes`` at a depth.

    Args:
        name: of the entry.
        how: the entry.
        blocks: fewer blocks than its model has: candidates keep their relative depth, and some may fall together.
            None for all of them.

    Raises:
        LunarError: it has fewer blocks.
    """
    whole = how["model"]["num_hidden_layers"]
    if blocks is not None and not 1 <= blocks <= whole:
        raise LunarError(f"bench.size: {blocks} blocks, but {name} has {whole}; name 1 to {whole}, or {name} alone")
    if blocks is None:
        return how
    candidates = sorted({layer * blocks // whole for layer in how["candidates"]})
    return {**how, "model": {**how["model"], "num_hidden_layers": blocks}, "candidates": candidates}


def memory(how: How) -> tuple[int, int]:
    """Estimated bytes, with a tenth to spare.

    Returns:
        What the device that computes needs; and what sums and libraries take of the machine's own memory beside it.
    """
    known = how["model"]
    width, inner, layers = known["hidden_size"], known["intermediate_size"], known["num_hidden_layers"]
    heads = known["num_attention_heads"]
    keys = (known.get("num_key_value_heads") or heads) * (known.get("head_dim") or width // heads)
    each, longest = (4 if how["dtype"] == "float32" else 2), how["lengths"][1]
    model = of_sizes(known) * (6 if each == 4 else each)  # generation has a bfloat16 copy beside float32
    # What a batch of the pass keeps: both sites of every block, sums of one block. Then keys and values of all blocks.
    tokens = how["batch_size"]["pass"] * longest
    passed = tokens * ((2 * layers * width + inner) * each + 3 * width * 8) + 12 * inner**2
    answered = how["batch_size"]["generation"] * (longest + how["new_tokens"]) * 2 * keys * layers * each
    answered += how["batch_size"]["generation"] * known["vocab_size"] * 4
    # Rows of training, the solve's matrices in float64, the weight's change with AdamW's moments and gradient.
    trained = how["prompts"] * sum(how["lengths"]) // 2 * inner * 4 + 4 * inner**2 * 8 + 5 * width * inner * 4
    on_device = max(model + max(passed, answered), trained)
    return int(1.1 * on_device), int(1.1 * 2 * 5 * 12 * inner**2) + 15 * 10**8
