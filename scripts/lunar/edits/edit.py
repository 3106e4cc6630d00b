"""Edits of linear weights, stored apart from the model: low-rank factors where they suffice, never a checkpoint.

An edit names the changed linear modules as the decoder names them (``layers.26.mlp.down_proj``), so one made without a
model at hand fits every model of the same shape.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from lunar.errors import LunarError
from lunar.files import atomic_write


@dataclass
class Factors:
    """A change ``left @ right.T`` of one weight.

    Attributes:
        left: shape (outputs, k); for LUNAR the redirection ``c r``.
        right: shape (inputs, k); for LUNAR the detector ``v``.
    """

    left: torch.Tensor
    right: torch.Tensor

    def product(self) -> torch.Tensor:
        """The change itself, float32 of shape (outputs, inputs)."""
        return self.left.float() @ self.right.float().T

    def singular_values(self) -> torch.Tensor:
        """The k singular values of the change, largest first, without forming the product; float64."""
        upper = [torch.linalg.qr(factor.double())[1] for factor in (self.left, self.right)]
        return torch.linalg.svdvals(upper[0] @ upper[1].T)


@dataclass
class Dense:
    """A change of one weight of full rank, as gradient descent on the weight itself gives it; or of a norm's weight.

    Attributes:
        delta: shape (outputs, inputs), or (outputs,) of a norm.
    """

    delta: torch.Tensor

    def product(self) -> torch.Tensor:
        """The change itself, float32 of shape (outputs, inputs)."""
        return self.delta.float()

    def singular_values(self) -> torch.Tensor:
        """All singular values of the change, largest first; float64."""
        return torch.linalg.svdvals(self.delta.double().reshape(len(self.delta), -1))


Change = Factors | Dense
Edit = dict[str, Change]


def truncated(delta: torch.Tensor, tolerance: float) -> Factors:
    """A change as factors of the lowest rank that leaves out at most ``tolerance`` of it.

    They stay factors where these hold more numbers than the change itself (at most as many again): an edit composed
    with it can then still be told from it.

    Args:
        delta: shape (outputs, inputs).
        tolerance: Frobenius norm of what is left out, as a share of that of the change.

    Returns:
        The singular values are in the left one.
    """
    left, values, right = torch.linalg.svd(delta.double(), full_matrices=False)
    dropped = values.square().flip(0).cumsum(0).flip(0).sqrt()  # what leaving out this value and all smaller ones costs
    rank = max(1, int((dropped > tolerance * dropped[0]).sum()))
    return Factors((left * values)[:, :rank].float(), right[:rank].T.float())


def compose(edits: Sequence[Mapping[str, Change]]) -> Edit:
    """The one edit that is the sum of several: factors side by side, and dense where one of them is dense.

    To take one of the edits back, compose the others: whatever is subtracted from a weight leaves rounding behind.
    """
    found: dict[str, list[Change]] = {}
    for edit in edits:
        for name, change in edit.items():
            found.setdefault(name, []).append(change)
    result: Edit = {}
    for name, changes in found.items():
        factors = [change for change in changes if isinstance(change, Factors)]
        if len(factors) == len(changes):
            parts = [[getattr(change, part) for change in factors] for part in ("left", "right")]
            result[name] = Factors(*(torch.cat(part, dim=1) for part in parts))
        else:
            result[name] = Dense(torch.stack([change.product() for change in changes]).sum(0))
    return result


def scaled(change: Change, by: torch.Tensor) -> Change:
    """A change with each output, or all of them, multiplied; ``by`` has shape (outputs,) or ()."""
    by = by.float().reshape(-1, 1)
    if isinstance(change, Factors):
        return Factors(change.left.float() * by.to(change.left.device), change.right)
    return Dense(change.delta.float() * by.to(change.delta.device))


def down_proj_name(layer: int) -> str:
    """How a decoder names the MLP output projection of block ``layer``."""
    return f"layers.{layer}.mlp.down_proj"


def block_of(name: str) -> int:
    """The block that a module's name lies in."""
    return int(name.split(".")[1])


def save(edit: Mapping[str, Change], path: str | Path) -> None:
    """Write an edit as safetensors, float32: ``<module>.left`` and ``.right``, or ``.delta``. It may be empty."""
    tensors = {}
    for name, change in edit.items():
        for part, value in vars(change).items():
            tensors[f"{name}.{part}"] = value.detach().float().cpu().contiguous()
    with atomic_write(path) as temporary:
        save_file(tensors, temporary)


def load(path: str | Path) -> Edit:
    """Read an edit.

    Raises:
        LunarError: the file holds a tensor that is no part of an edit.
    """
    parts: dict[str, dict[str, torch.Tensor]] = {}
    for key, value in load_file(path).items():
        name, _, part = key.rpartition(".")
        if not name:
            raise LunarError(f"{path}: {key} is no part of an edit, which has <module>.left and .right, or .delta")
        parts.setdefault(name, {})[part] = value
    edit: Edit = {}
    for name, found in sorted(parts.items()):
        if set(found) == {"left", "right"}:
            edit[name] = Factors(found["left"], found["right"])
        elif set(found) == {"delta"}:
            edit[name] = Dense(found["delta"])
        else:
            raise LunarError(f"{path}: {name} has {', '.join(sorted(found))}; an edit has left and right, or delta")
    return edit


def _weights(model: Any, edit: Mapping[str, Change]) -> dict[str, torch.nn.Parameter]:
    """The weights that an edit changes, checked against it."""
    found = {}
    for name, change in edit.items():
        try:
            weight = model.get_decoder().get_submodule(name).weight
        except AttributeError:
            blocks = len(getattr(model.get_decoder(), "layers", []))
            raise LunarError(
                f"the edit changes {name}, but the model (of {blocks} blocks) has no such module"
            ) from None
        shape = tuple(change.product().shape) if isinstance(change, Dense) else (len(change.left), len(change.right))
        if shape != tuple(weight.shape):
            raise LunarError(f"the edit of {name} has shape {shape}, the model's weight {tuple(weight.shape)}")
        found[name] = weight
    return found


@torch.no_grad()
def apply(model: Any, edit: Mapping[str, Change]) -> None:
    """Add an edit to a model's weights in place.

    Raises:
        LunarError: the edit was made for a model of another shape.
    """
    for name, weight in _weights(model, edit).items():
        weight.copy_((weight.float() + edit[name].product().to(weight.device)).to(weight.dtype))


@contextmanager
def applied(model: Any, edit: Mapping[str, Change]) -> Iterator[None]:
    """Have an edit in the model inside the block only.

    Raises:
        LunarError: as ``apply``.
    """
    _weights(model, edit)  # whose message names what is not there
    with weights_kept(model, list(edit)):
        apply(model, edit)
        yield


@contextmanager
def weights_kept(model: Any, names: Sequence[str]) -> Iterator[None]:
    """Put the named modules' weights back at the end of the block, bit for bit.

    They are put back from copies: subtracting a change would leave rounding behind.
    """
    held = {name: model.get_decoder().get_submodule(name).weight for name in names}
    before = {name: weight.detach().clone() for name, weight in held.items()}
    try:
        yield
    finally:
        with torch.no_grad():
            for name, weight in held.items():
                weight.copy_(before[name])
