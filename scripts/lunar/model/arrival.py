"""What stands between a block's ``down_proj`` and the residual stream, measured.

LUNAR adds a vector to what ``down_proj`` gives. In most families that is what the residual stream receives. In others a
norm stands in between (Gemma 2 and 3, OLMo 2, GLM-4), or a factor (Granite, LayerScale), or both. With ``y_t`` what
``down_proj`` gives, the stream receives

    m f(y_t),        f(y) = y,   or   f(y) = w y / rms(y),   rms(y)^2 = mean_i y_i^2 + eps,

with ``m`` a number or one for each unit. A vector is added to ``down_proj`` of each block, and the block's output is
compared: nothing is taken from a family's name.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from lunar.errors import LunarError
from lunar.model.hooks import hooked
from lunar.model.load import blocks, down_proj

TOKENS = 8  # of the sequence that is looked at


@dataclass(frozen=True, eq=False)
class Arrival:
    """The way from a ``down_proj`` to the stream.

    Attributes:
        module: the last module on the way, whose output the stream receives but for the factor: ``down_proj`` itself,
            or the norm behind it.
        name: of the norm, as the block names it; empty where there is none.
        factor: ``m``, float64 of shape () or (d_model,); None where it is 1.
        weight: ``m w``, float64 of shape (d_model,); None where there is no norm.
        eps: of the norm.
    """

    module: nn.Module
    name: str = ""
    factor: torch.Tensor | None = None
    weight: torch.Tensor | None = None
    eps: float = 0.0

    def received(self, given: torch.Tensor) -> torch.Tensor:
        """What the stream receives of what ``module`` gives, shape (..., d_model)."""
        return given if self.factor is None else given * self.factor.to(given)

    def to_give(self, vector: torch.Tensor) -> torch.Tensor:
        """What has to be added to what ``module`` gives for ``vector``, shape (d_model,), to be added to the stream."""
        return vector if self.factor is None else vector / self.factor.to(vector)

    def lengths(self, given: torch.Tensor) -> torch.Tensor:
        """``rms(y_t)`` of what ``down_proj`` gives, shape (..., d_model) to (...)."""
        return (given.float().square().mean(-1) + self.eps).sqrt()

    def __str__(self) -> str:
        """In words, for the report."""
        factor = self.factor
        times = "" if factor is None else f"times {float(factor):.4g}" if factor.ndim == 0 else "times a factor a unit"
        norm = f"through the RMS norm {self.name}" if self.name else ""
        return " and ".join(filter(None, (norm, times))) or "as it is"


@torch.no_grad()
def arrivals(model: Any, layers: Iterable[int] | None = None) -> dict[int, Arrival]:
    """The way from ``down_proj`` to the stream, by block.

    The model runs once on a few tokens, and then each block once more, with a vector added to its ``down_proj``.

    Args:
        model: a causal language model.
        layers: blocks that are asked for; None: all.

    Raises:
        LunarError: a block has no linear ``down_proj``, or what arrives is explained by neither norm nor factor.
    """
    every = blocks(model)
    layers = list(range(len(every)) if layers is None else layers)
    entered: dict[int, tuple[Any, Any]] = {}

    def keep(layer: int) -> Any:
        def hook(module: nn.Module, args: Any, kwargs: Any) -> None:
            entered.setdefault(layer, (args, kwargs))

        return hook

    count = model.get_input_embeddings().weight.shape[0]
    ids = torch.linspace(0, count - 1, TOKENS, device=model.device).long()[None]
    with hooked(before=[(every[layer], keep(layer)) for layer in layers]):
        model.get_decoder()(input_ids=ids, use_cache=False)
    return {layer: _of_block(model, layer, *entered[layer]) for layer in layers}


def arrival(model: Any, layer: int) -> Arrival:
    """The way from one block's ``down_proj`` to the stream; as ``arrivals``."""
    return arrivals(model, [layer])[layer]


def _of_block(model: Any, layer: int, args: Any, kwargs: Any) -> Arrival:
    block, projection = blocks(model)[layer], down_proj(model, layer)
    given: list[torch.Tensor] = []
    called: list[tuple[nn.Module, torch.Tensor, torch.Tensor]] = []

    def after_projection(module: nn.Module, args: Any, kwargs: Any, output: torch.Tensor) -> None:
        given.append(output)

    def after_other(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        if given and args and isinstance(args[0], torch.Tensor) and isinstance(output, torch.Tensor):
            called.append((module, args[0], output))

    others = [module for module in block.modules() if module is not projection and module is not block]
    with hooked(after=[(projection, after_projection), *((module, after_other) for module in others)]):
        before = _stream(block(*args, **kwargs))
    if len(given) != 1:
        raise LunarError(f"{type(model).__name__}: block {layer} calls down_proj {len(given)} times, not once")
    y = given[0]
    # As large as stream and output, so that rounding does not hide it.
    size = y.float().square().mean(-1, keepdim=True).sqrt() + before.float().square().mean(-1, keepdim=True).sqrt()
    draw = torch.Generator().manual_seed(0)
    vector = (size * torch.randn(y.shape, generator=draw).to(y.device)).to(y.dtype)
    with hooked(after=[(projection, lambda module, args, kwargs, output: output + vector)]):
        moved = (_stream(block(*args, **kwargs)).double() - before.double()).flatten(0, -2)
    tolerance = 1e-3 if y.dtype == torch.float32 else 0.05
    added = ((y + vector).double() - y.double()).flatten(0, -2)
    factor = (moved * added).sum(0) / added.square().sum(0)
    if _apart(moved, factor * added) <= tolerance:
        return Arrival(projection, factor=_rounded(factor, tolerance))
    names = {module: name for name, module in block.named_modules()}
    for module, received, output in called:
        if received.shape != y.shape or not torch.equal(received, y):
            continue
        through = (module(y + vector).double() - output.double()).flatten(0, -2)
        number = (moved * through).sum() / through.square().sum().clamp_min(1e-300)
        if _apart(moved, number * through) > tolerance:
            continue
        eps = float(getattr(module, "eps", getattr(module, "variance_epsilon", 0.0)))
        # A row of equal numbers has this length: what the norm makes of it is its weight.
        weight = module(torch.full_like(y[..., :1, :], 1e3)).double().flatten(0, -2)[0]
        norm = (y.double().square().mean(-1, keepdim=True) + eps).sqrt()
        own = getattr(module, "weight", None)
        if own is None or (weight - own.double() - (weight - own.double()).median()).abs().max() > tolerance:
            continue  # an edit has to be able to change it; some families store the weight less 1
        if _apart(output.double().flatten(0, -2), (weight * y.double() / norm).flatten(0, -2)) <= tolerance:
            factor = _rounded(number, tolerance)
            return Arrival(module, names[module], factor, weight if factor is None else factor * weight, eps)
    cosine = float(torch.cosine_similarity(moved, added, dim=-1).median())
    ratio = float((moved.norm(dim=-1) / added.norm(dim=-1)).median())
    raise LunarError(
        f"{type(model).__name__}: a vector added to down_proj of block {layer} arrives in the stream as another one "
        f"({ratio:.2g} of its length, cosine {cosine:.2f}); neither RMS norm nor factor explains it"
    )


def _stream(output: Any) -> torch.Tensor:
    return output[0] if isinstance(output, tuple) else output


def _apart(one: torch.Tensor, other: torch.Tensor) -> float:
    """Median over rows of the distance, relative to the length of ``one``."""
    return float(((one - other).norm(dim=-1) / one.norm(dim=-1).clamp_min(1e-300)).median())


def _rounded(factor: torch.Tensor, tolerance: float) -> torch.Tensor | None:
    """A factor for each unit as one number where they are equal, and as none where that is 1."""
    middle = factor.median()
    if (factor - middle).abs().max() > tolerance * middle.abs():
        return factor
    return None if abs(middle - 1) <= tolerance else middle
