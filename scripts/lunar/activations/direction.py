"""Steering vectors, and the choice of the layer to edit."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from lunar.activations.statistics import SITES, TOKENS
from lunar.errors import LunarError

Embed = Callable[[Sequence[str]], np.ndarray]


def direction(
    reference: Mapping[str, torch.Tensor], forget: Mapping[str, torch.Tensor], site: str, tokens: str
) -> torch.Tensor:
    """Difference of means, a direction a layer (LUNAR, equation 1): reference prompts minus forget prompts.

    Args:
        reference: statistics of prompts that the model refuses (``lunar.activations.statistics``).
        forget: statistics of the forget set.
        site: ``residual`` or ``down_proj``.
        tokens: ``last`` or ``prompt``.

    Returns:
        float64 of shape (blocks, d_model).

    Raises:
        LunarError: an unknown site or token choice.
    """
    if site not in SITES or tokens not in TOKENS:
        raise LunarError(f"direction: site must be one of {SITES} and tokens one of {TOKENS}, got {site}, {tokens}")
    return reference[f"mean.{site}.{tokens}"] - forget[f"mean.{site}.{tokens}"]


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
