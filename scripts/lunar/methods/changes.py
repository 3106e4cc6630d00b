"""What unlearning elsewhere changed: each weight of a model beside that of the model before."""

import math
from typing import Any

import torch

from lunar.edits.edit import block_of
from lunar.errors import LunarError

HELD = 0.99  # share of a change's squared norm that its directions are counted for
ROUNDED = (torch.float32, torch.bfloat16, torch.float16)
WIDEST = 2048  # of matrices with more rows and columns the directions are not counted: that takes minutes each


def changes(model: Any, before: Any) -> list[dict[str, Any]]:
    """Each weight that differs between two models, in the order of the model before.

    A weight that was rounded to bfloat16 or float16, as a saved file may have it, and not changed otherwise, does not
    differ. A head that only one of the two ties to its embeddings is compared as a separate weight.

    Args:
        model, before: of the same architecture; embeddings may have other numbers of rows, of which the common ones
            are compared.

    Returns:
        ``weight``: its name. ``block``: None outside of the blocks. ``norm`` of the change. ``share``: that norm
        relative to the norm of the weight before. ``directions``: number of singular values that hold ``HELD`` of the
        squared change (None: not counted).

    Raises:
        LunarError: the weights of the two have other names or shapes, or none of them differs, or one is not finite.
    """
    own, old = (dict(one.named_parameters(remove_duplicate=False)) for one in (model, before))
    untied = {name for one in (model, before) for name, _ in one.named_parameters()}
    if unshared := sorted(own.keys() ^ old.keys()):
        raise LunarError(f"{unshared[0]} is a weight of one of the two models only; they are not a pair")
    found = []
    for name, weight in old.items():
        if name not in untied:
            continue
        rows = min(len(weight), len(own[name]))
        new, was = (one.detach()[:rows].float().cpu() for one in (own[name], weight))
        if new.shape != was.shape:
            raise LunarError(f"{name} is {tuple(own[name].shape)}, and {tuple(weight.shape)} in the model before")
        if any(torch.equal(new, was.to(kind).float()) for kind in ROUNDED):
            continue
        delta = new - was
        if not delta.isfinite().all():
            raise LunarError(f"{name} has numbers that are not finite: its training went astray; name another model")
        found.append(
            {
                "weight": name,
                "block": block_of(name.partition("model.")[2]) if ".layers." in name else None,
                "norm": float(delta.norm()),
                "share": float(delta.norm() / was.norm().clamp_min(torch.finfo(torch.float32).tiny)),
                "directions": directions(delta),
            }
        )
    if not found:
        raise LunarError("its weights are those of the model before: nothing was unlearned; name the unlearned model")
    return found


def directions(delta: torch.Tensor) -> int | None:
    """How many singular values hold ``HELD`` of a change's squared norm; 1 for a vector, None of a large matrix.

    Args:
        delta: shape (outputs, inputs) or (outputs,).
    """
    if delta.ndim < 2:
        return 1
    if min(delta.shape) > WIDEST:
        return None
    delta = delta.double()
    gram = delta @ delta.T if len(delta) <= delta.shape[1] else delta.T @ delta
    squares = torch.linalg.eigvalsh(gram).flip(0).clamp_min(0).cumsum(0)
    return int((squares < HELD * squares[-1]).sum()) + 1


def summary(found: list[dict[str, Any]], before: Any) -> dict[str, Any]:
    """A change in a few numbers.

    Returns:
        ``weights``: number of changed weights, of ``of``. ``share``: norm of the change, relative to that of all
        weights before. ``blocks`` with a change. ``down_proj``: blocks whose ``down_proj`` changed. ``elsewhere``:
        whether other weights changed.
    """
    whole = math.sqrt(sum(float(weight.detach().float().square().sum()) for weight in before.parameters()))
    down = [one["block"] for one in found if one["weight"].endswith("mlp.down_proj.weight")]
    return {
        "weights": len(found),
        "of": len({name for name, _ in before.named_parameters()} | {one["weight"] for one in found}),
        "share": math.sqrt(sum(one["norm"] ** 2 for one in found)) / whole,
        "blocks": sorted({one["block"] for one in found} - {None}),
        "down_proj": sorted(down),
        "elsewhere": len(down) < len(found),
    }
