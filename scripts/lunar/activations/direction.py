"""Steering vectors."""

import torch

from lunar.activations.statistics import Statistics


def direction(reference: Statistics, forget: Statistics, site: str, tokens: str) -> torch.Tensor:
    """Difference of means, a direction a layer (LUNAR, equation 1): reference prompts minus forget prompts.

    Args:
        reference: of prompts that the model refuses.
        forget: of the forget set.
        site: ``residual`` or ``down_proj``.
        tokens: ``last`` or ``prompt``.

    Returns:
        float64 of shape (blocks, d_model).

    Raises:
        LunarError: an unknown site or token choice.
    """
    return reference.mean(site, tokens) - forget.mean(site, tokens)
