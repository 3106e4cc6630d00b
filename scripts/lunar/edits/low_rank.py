"""An edit as LoRA holds it: two factors of one rank for each weight.

Servers scale a LoRA by ``alpha / rank``, and they disagree about which rank that is: the adapter's or the tensor's. So
every weight gets factors of the same rank, filled up with zeros, and alpha equals that rank. All of them scale by 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from lunar.edits.edit import Change, Dense, Factors, block_of
from lunar.errors import LunarError

EXACT = 1e-6  # share of a change below which what is left out is rounding of float32
LARGEST = 512  # highest rank that vLLM loads
USUAL = 64  # rank at which a refusal tells what would be left out


@dataclass
class LowRank:
    """An edit whose changes all have factors of one rank.

    Attributes:
        modules: factors by the decoder's name of the module; left (outputs, rank), right (inputs, rank), float32.
        rank: of all of them.
        ranks: of each change before zeros were added.
        left_out: share of each change's Frobenius norm that truncation left out; 0 where nothing was truncated.
    """

    modules: dict[str, Factors]
    rank: int
    ranks: dict[str, int]
    left_out: dict[str, float]

    @property
    def truncated(self) -> bool:
        """Whether the factors hold less than the edit."""
        return any(share > 0 for share in self.left_out.values())


def decompose(change: Change) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The singular value decomposition of a change: left vectors (outputs, k), k values, right vectors (inputs, k).

    Values are float64, largest first. The product of factors is never formed.
    """
    if isinstance(change, Dense):
        left, values, right = torch.linalg.svd(change.delta.double(), full_matrices=False)
        return left, values, right.T
    (left, upper), (right, lower) = (torch.linalg.qr(factor.double()) for factor in (change.left, change.right))
    inner_left, values, inner_right = torch.linalg.svd(upper @ lower.T, full_matrices=False)
    return left @ inner_left, values, right @ inner_right.T


def shares(values: torch.Tensor) -> torch.Tensor:
    """What a rank leaves out, as a share of the Frobenius norm, for every rank from 0 to the number of values."""
    squares = torch.cat([values.square(), values.new_zeros(1)])
    left = squares.flip(0).cumsum(0).flip(0).sqrt()
    return left / left[0].clamp_min(torch.finfo(left.dtype).tiny)


def balanced(change: Change, rank: int | None = None) -> tuple[Factors, float]:
    """A change as two factors of equal norms, and the share of it that they leave out.

    Equal norms keep most digits where factors are rounded to 8 bits of bfloat16. The share is 0 where it is below
    ``EXACT``.

    Args:
        change: of one weight.
        rank: at most; None for as many as the change has.
    """
    left, values, right = decompose(change)
    left_out = shares(values)
    own = int((left_out > EXACT).sum())
    kept = own if rank is None else min(rank, own)
    root = values[:kept].sqrt()
    share = 0.0 if kept == own else float(left_out[kept])
    return Factors((left[:, :kept] * root).float(), (right[:, :kept] * root).float()), share


def _refused(name: str, change: Change, rank: int) -> LunarError:
    """Why a change is no adapter, and what the best adapter of the usual rank would leave out."""
    smallest = min(change.product().shape)
    share = float(shares(change.singular_values())[min(USUAL, smallest)])
    why = f"no more than {LARGEST} are served" if rank > LARGEST else "no adapter of lower rank holds it"
    return LunarError(
        f"export: the change of {name} has rank {rank} of {smallest}, and {why}; the best adapter of rank {USUAL} "
        f"leaves out {share:.1%}. State export.rank to truncate the edit and see what that changes, or export the "
        "model: --config export='{form: [model], ...}'"
    )


def low_rank(edit: Mapping[str, Change], rank: int | None = None) -> LowRank:
    """An edit with factors of one rank for every weight.

    Args:
        edit: changes by the decoder's name of the module.
        rank: to which changes of a higher one are truncated; None refuses those that are of full rank.

    Raises:
        LunarError: the edit is empty; it changes a norm; or a change is of full rank or above ``LARGEST``, and no rank
            to truncate to is stated.
    """
    if not edit:
        raise LunarError("export: the edit changes no weight, so there is no adapter to write")
    found, left_out = {}, {}
    for name, change in edit.items():
        if isinstance(change, Dense) and change.delta.ndim != 2:
            raise LunarError(
                f"export: the edit changes the norm {name}, which LoRA cannot; export the model: "
                "--config export='{form: [model], ...}'"
            )
        found[name], left_out[name] = balanced(change, rank)
        own = found[name].left.shape[1]
        full = isinstance(change, Dense) and own == min(change.delta.shape)
        if rank is None and (full or own > LARGEST):
            raise _refused(name, change, own)
    ranks = {name: factors.left.shape[1] for name, factors in found.items()}
    highest = max(1, *ranks.values())
    padded = {
        name: Factors(*(_filled(part, highest) for part in vars(change).values())) for name, change in found.items()
    }
    return LowRank(padded, highest, ranks, left_out)


def _filled(factor: torch.Tensor, rank: int) -> torch.Tensor:
    """A factor with columns of zeros up to the rank."""
    return nn.functional.pad(factor, (0, rank - factor.shape[1]))


def completed(edit: LowRank, model: Any) -> LowRank:
    """The same with zeros for further linear modules, so that the edit is a set of names times a set of blocks.

    A PEFT configuration names modules and blocks apart. A module that both sets hold and the edit does not gets zeros.
    """
    names = {name.rpartition(".")[2] for name in edit.modules}
    layers = {block_of(name) for name in edit.modules}
    modules = dict(edit.modules)
    for name, module in model.get_decoder().named_modules():
        wanted = name.rpartition(".")[2] in names and name.startswith("layers.") and block_of(name) in layers
        if wanted and name not in modules and isinstance(module, nn.Linear):
            outputs, inputs = module.weight.shape
            modules[name] = Factors(torch.zeros(outputs, edit.rank), torch.zeros(inputs, edit.rank))
    return LowRank(modules, edit.rank, edit.ranks, edit.left_out)
