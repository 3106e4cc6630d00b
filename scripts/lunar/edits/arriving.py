"""A change of what the stream receives, turned into an edit of the weights behind which something stands.

``lunar.edits.solve`` gives the change D of what the stream receives. Where nothing stands behind ``down_proj``, D is
the edit of its weight W. Behind a factor m the edit is D / m.

Behind an RMS norm of weight w (d units) no edit of W alone will do. With ``z_t = y_t / rms(y_t)`` the stream receives
``w z_t``, always of the same length but for w, and a redirection is longer than that. So one unit j is given up to hold
the length, and the norm's weight is raised by a number K. With ``u = c r / w``, ``u_j = 0``, and inputs
``g_t = h_t / rms(y_t)``, for which ``W g_t = z_t`` and the detector's ``v . g_t`` is 1 on tokens to be redirected,

    W' = W + u v^T,  its row j being b,        w' = K w,        b . g_t = sqrt(d (K^2 - 1) - 2 u . z_t - |u|^2)

(without the terms of u on tokens to be kept) give ``rms(W' h_t) = K rms(y_t)``. Hence the stream receives
``w (z_t + u)``, which is ``c r`` more than before, and on kept tokens what it received. The root is nearly the same
number for all tokens of a kind, so b is a ridge regression on the same sums. Errors of b matter less than differences
of ``u . z_t`` between tokens, so K is chosen such that three quarters of the length that is added are the held one.
Unit j is the one that matters least, to the stream and to ``c r``; it receives its mean over kept tokens.
Source: this project.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from lunar.activations.statistics import Statistics
from lunar.edits.edit import Change, Dense, Edit, Factors, compose, down_proj_name, scaled
from lunar.edits.solve import detector, ridge_strength

HELD = 4.0  # the length that is added, over that of the redirection: three of four parts are the held unit's
SMALL = 0.02  # of the norm's weights: those below this share of their root mean square are not divided by


def to_weights(
    change: Change,
    requests: Sequence[Mapping[str, Statistics]],
    block: int,
    vectors: torch.Tensor,
    spans: Sequence[str],
    keep: Mapping[str, Mapping[str, float]],
    ridge: float,
    shared: Mapping[str, Statistics] | None = None,
) -> Edit:
    """The edit of a block's weights by which a change arrives in the stream.

    Args:
        change: D, of what the stream receives, as ``lunar.edits.solve.redirect`` gives it.
        requests, block, vectors, spans, keep, ridge, shared: what it was solved from.
    """
    behind, name = requests[0]["forget"].behind(block), down_proj_name(block)
    if behind is None:
        return {name: change}
    if behind.norm is None or behind.weight is None:
        return {name: scaled(change, 1 / behind.factor)}
    norm, weight = behind.norm.double(), behind.weight.double()
    width = len(norm)
    gram: Any = sum(own["forget"].gram(block, spans) for own in requests)
    moved = sum(own["forget"].tokens(spans) for own in requests)
    kept, tokens = torch.zeros(weight.shape[1], dtype=torch.float64), 0.0
    for key, weights in keep.items():
        for source in [shared[key]] if shared and key in shared else [own[key] for own in requests]:
            for span, amount in weights.items():
                gram = gram + amount * source.gram(block, [span])
                kept = kept + amount * source.sum(block, [span])
                tokens += amount * source.tokens([span])
    # What each unit receives, squared and averaged, and what it would lack of the redirection.
    received = norm.square() * ((weight @ gram) * weight).sum(1) / max(moved + tokens, 1.0)
    unit = int((received + vectors.double().cpu().square().sum(0)).argmin())
    inverse = norm / (norm.square() + SMALL**2 * norm.square().mean())
    inverse[unit] = 0.0
    added, sums = [], [own["forget"].sum(block, spans) for own in requests]
    for own, total, vector in zip(requests, sums, vectors.double(), strict=True):
        u, z = inverse * vector.cpu(), weight @ total / own["forget"].tokens(spans)
        added.append(2 * float(u @ z) + float(u @ u))
    held = HELD * max(*added, 0.01 * width)  # d (K^2 - 1)
    roots = torch.tensor([held, *(held - one for one in added)], dtype=torch.float64).sqrt()
    row = detector(gram, torch.stack([kept, *sums], dim=1), ridge_strength(gram, ridge)) @ roots
    raised = (1 + held / width) ** 0.5
    one_hot = torch.zeros(width, 1)
    one_hot[unit] = 1.0
    length = Factors(one_hot, (row - weight[unit]).float()[:, None])
    after = raised * norm
    after[unit] = raised * norm[unit] * float(weight[unit] @ kept) / max(tokens, 1.0) / held**0.5
    change = type(change)(*(part.cpu() for part in vars(change).values()))
    edit = compose([{name: scaled(change, inverse)}, {name: length}])
    return edit | {f"layers.{block}.{behind.name}": Dense(((after - norm) / behind.factor).float())}
