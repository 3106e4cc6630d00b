"""The choice of the layer to edit, by what the model answers when it is steered there."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from lunar.errors import LunarError

Embed = Callable[[Sequence[str]], np.ndarray]


def layer_score(
    outputs: Sequence[str], knowledge_reference: str, unethical: Sequence[str], embed: Embed
) -> dict[str, float]:
    """How much steered outputs read like "I lack the knowledge" rather than "that would be wrong" (LUNAR, section 3).

    Args:
        outputs: generations under steering.
        knowledge_reference: one refusal for lack of knowledge.
        unethical: refusals on ethical grounds.
        embed: texts to unit vectors, shape (texts, width).

    Returns:
        ``knowledge`` (mean cosine to the reference), ``unethical`` (mean over outputs of the highest cosine to any
        unethical refusal) and their difference, ``score``.
    """
    vectors = embed(list(outputs))
    knowledge = float((vectors @ embed([knowledge_reference])[0]).mean())
    wrong = float((vectors @ embed(list(unethical)).T).max(axis=1).mean())
    return {"score": knowledge - wrong, "knowledge": knowledge, "unethical": wrong}


def choose(scores: Mapping[int, float], top_k: int) -> dict[str, Any]:
    """The best layer and the ``top_k`` best, highest score first; of equal scores the earlier layer wins."""
    if top_k > len(scores):
        raise LunarError(f"layers.top_k is {top_k}, but only {len(scores)} layers are candidates; add candidates")
    order = sorted(scores, key=lambda layer: (-scores[layer], layer))
    return {"best": order[0], "top_k": order[:top_k]}
