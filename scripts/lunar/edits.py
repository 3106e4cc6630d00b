"""Edits of ``down_proj`` weights, stored as low-rank factors, never as checkpoints."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from lunar.errors import LunarError
from lunar.files import whole
from lunar.models import blocks, down_proj


@dataclass
class Factors:
    """A change ``left @ right.T`` of one weight.

    Attributes:
        left: shape (d_model, k); for LUNAR the redirection ``c r``.
        right: shape (d_ff, k); for LUNAR the detector ``v``.
    """

    left: torch.Tensor
    right: torch.Tensor

    def singular_values(self) -> torch.Tensor:
        """The k singular values of the change, largest first, without forming the product; float64."""
        upper = [torch.linalg.qr(factor.double())[1] for factor in (self.left, self.right)]
        return torch.linalg.svdvals(upper[0] @ upper[1].T)


Edit = dict[int, Factors]


def save(edit: Mapping[int, Factors], path: str | Path) -> None:
    """Write an edit as safetensors, float32: ``<layer>.left`` and ``<layer>.right``. An empty edit is allowed."""
    tensors = {}
    for layer, factors in edit.items():
        tensors[f"{layer}.left"] = factors.left.float().cpu().contiguous()
        tensors[f"{layer}.right"] = factors.right.float().cpu().contiguous()
    with whole(path) as temporary:
        save_file(tensors, temporary)


def load(path: str | Path) -> Edit:
    """Read an edit."""
    tensors = load_file(path)
    layers = sorted({int(name.split(".")[0]) for name in tensors})
    return {layer: Factors(tensors[f"{layer}.left"], tensors[f"{layer}.right"]) for layer in layers}


def apply(model: Any, edit: Mapping[int, Factors]) -> None:
    """Add an edit to a model's weights in place.

    Raises:
        LunarError: the edit was made for a model of another shape.
    """
    for layer, factors in edit.items():
        if layer >= len(blocks(model)):
            raise LunarError(f"the edit changes block {layer}, but the model has {len(blocks(model))} blocks")
        weight = down_proj(model, layer).weight
        if (len(factors.left), len(factors.right)) != tuple(weight.shape):
            raise LunarError(
                f"the edit of block {layer} has shape ({len(factors.left)}, {len(factors.right)}), "
                f"the model's down_proj {tuple(weight.shape)}"
            )
        change = factors.left.to(weight.device).float() @ factors.right.to(weight.device).float().T
        with torch.no_grad():
            weight.copy_((weight.float() + change).to(weight.dtype))
