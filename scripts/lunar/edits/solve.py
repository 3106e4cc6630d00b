"""The exact solution of LUNAR's objective.

The objective at one ``down_proj`` with original weight ``W0`` (d_model x d_ff) is the ridge regression

    J(D) = sum_t || D h_t - y_t c r ||^2 + lambda ||D||^2,        D = W - W0,

over tokens t with ``down_proj`` inputs ``h_t``. ``y_t`` is 1 if the activation is to be redirected by ``c r``, and 0 if
it is to stay (LUNAR, section 3, the two terms of its loss, with a ridge). All targets are multiples of one vector, so
the minimum has rank one:

    D = c r v^T,        v = (H^T H + lambda I)^(-1) H^T y.

Only sums over tokens enter: G = H^T H and s = H^T y, so the data never has to fit in memory.

Several requests at once have a vector ``r_i`` each. Targets are ``sum_i y_ti c r_i``, with ``y_ti`` = 1 if request i
redirects token t. They lie in the span of the k vectors, so the minimum has rank k at most:

    D = sum_i c r_i v_i^T,        V = (H^T H + lambda I)^(-1) H^T Y,        Y of shape (tokens, k).

All requests' tokens are in one Gram matrix. A token of one request has 0 in the columns of the others, so the others'
vectors do not redirect it.
"""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

import torch

from lunar.activations.statistics import Statistics
from lunar.edits.edit import Factors
from lunar.errors import LunarError


def ridge_strength(gram: torch.Tensor, relative: float) -> float:
    """``lambda``: ``relative`` times the mean diagonal of the Gram matrix (d_ff, d_ff), so that it has no unit.

    Raises:
        LunarError: ``relative`` is not positive (the Gram matrix of few tokens is singular without a ridge).
    """
    if relative <= 0:
        raise LunarError(f"ridge must be greater than 0, got {relative}")
    return relative * float(gram.diagonal().double().mean())


def detector(gram: torch.Tensor, target_sum: torch.Tensor, strength: float) -> torch.Tensor:
    """``v`` from sums over tokens (primal form).

    Args:
        gram: ``H^T H``, shape (d_ff, d_ff).
        target_sum: ``H^T y``, shape (d_ff,) or (d_ff, k) for k directions at once.
        strength: ``lambda``.

    Returns:
        float64, the shape of ``target_sum``.

    Raises:
        LunarError: the system is not positive definite (a ridge too small for the data's rank and scale).
    """
    system = gram.double() + strength * torch.eye(len(gram), dtype=torch.float64, device=gram.device)
    factor, failed = torch.linalg.cholesky_ex(system)
    if failed:
        raise LunarError(f"the Gram matrix with lambda = {strength:.3g} is not positive definite; raise the ridge")
    right = target_sum.double()
    columns = right[:, None] if right.ndim == 1 else right
    return torch.cholesky_solve(columns, factor).reshape(right.shape)


def regress(
    gram: torch.Tensor, cross: torch.Tensor, squares: float, strength: float
) -> tuple[torch.Tensor, dict[str, float]]:
    """The minimum of sum_t || D h_t - g_t ||^2 + lambda || D ||^2 for any targets g_t, of any rank.

        D = (sum_t g_t h_t^T) (H^T H + lambda I)^(-1)

    Args:
        gram: ``H^T H``, shape (d_ff, d_ff).
        cross: sum of ``h g^T`` over tokens, shape (d_ff, d_model).
        squares: sum of ``||g||^2`` over tokens.
        strength: ``lambda``.

    Returns:
        D, float64 of shape (d_model, d_ff); ``objective`` there and ``objective_unedited`` at D = 0.
    """
    gram, cross = gram.double(), cross.double()
    delta = detector(gram, cross, strength).T
    moved = (delta @ gram * delta).sum() - 2 * (delta * cross.T).sum() + strength * delta.square().sum()
    return delta, {"objective": squares + float(moved), "objective_unedited": squares}


class Directions(NamedTuple):
    """Directions in which some inputs vary more than others (``own_directions``), and what a fit within them needs.

    Attributes:
        gamma: how many times as much, largest first; float64, shape (k,).
        basis: ``U``, shape (inputs, k).
        scores: left singular vectors of the whitened inputs, shape (tokens, k).
    """

    gamma: torch.Tensor
    basis: torch.Tensor
    scores: torch.Tensor

    def fit(self, goals: torch.Tensor) -> Factors:
        """The D with rows in the span of ``basis`` that minimises ``sum_t || D h_t - g_t ||^2`` over the same tokens.

        ``D = (mean_t g_t h_t^T) U diag(1 / gamma) U^T``, since ``U^T (mean_t h_t h_t^T) U = diag(gamma)``.

        Args:
            goals: ``g_t``, shape (tokens, outputs).
        """
        left = goals.double().cpu().T @ self.scores / (len(self.scores) * self.gamma).sqrt()
        return Factors(left.float(), self.basis.float())


def own_directions(inputs: torch.Tensor, kept: torch.Tensor, threshold: float) -> Directions:
    """Directions along which inputs vary more than ``threshold`` times as much as kept ones.

    Those are the generalised eigenvectors ``F u = gamma K u`` with gamma above the threshold, F the mean of ``h h^T``
    over the inputs, normed so that ``U^T K U = I``. They are found from the inputs whitened by K, so that F is never
    formed: with fewer tokens than inputs that is the smaller problem.

    Args:
        inputs: ``h``, shape (tokens, inputs).
        kept: K, the mean of ``h h^T`` over kept tokens with a ridge on its diagonal; float64, shape (inputs, inputs).
        threshold: of gamma, not negative.

    Raises:
        LunarError: K is not positive definite.
    """
    factor, failed = torch.linalg.cholesky_ex(kept)
    if failed:
        raise LunarError("the second moments of what is kept are not positive definite; raise the ridge")
    whitened = torch.linalg.solve_triangular(factor, inputs.double().cpu().T, upper=False).T / len(inputs) ** 0.5
    left, values, right = torch.linalg.svd(whitened, full_matrices=False)
    own = values.square() > threshold
    basis = torch.linalg.solve_triangular(factor.T, right[own].T, upper=True)
    return Directions(values[own].square(), basis, left[:, own])


def objective(
    v: torch.Tensor,
    gram: torch.Tensor,
    target_sum: torch.Tensor,
    redirected: Sequence[float],
    strength: float,
    vectors: torch.Tensor,
) -> float:
    """J at the edit ``sum_i c r_i v_i^T``, from sums over tokens alone.

    Args:
        v: detectors, shape (d_ff, k).
        gram: ``H^T H``, shape (d_ff, d_ff).
        target_sum: ``H^T Y``, shape (d_ff, k).
        redirected: number (total weight) of tokens with ``y_i`` = 1, for each i; no token has two.
        strength: ``lambda``.
        vectors: ``c r_i``, shape (k, d_model).
    """
    v, gram, target_sum, vectors = (part.double() for part in (v, gram, target_sum, vectors))
    total = 0.0
    for (i, one), (j, other) in product(enumerate(v.T), repeat=2):
        met = one @ target_sum[:, j] + other @ target_sum[:, i]
        scores = (redirected[i] if i == j else 0) - met + one @ gram @ other + strength * one @ other
        total += float(scores * (vectors[i] * vectors[j]).sum())
    return total


def redirect(
    requests: Sequence[Mapping[str, Statistics]],
    block: int,
    vectors: torch.Tensor,
    spans: Sequence[str],
    keep: Mapping[str, Mapping[str, float]],
    ridge: float,
    shared: Mapping[str, Statistics] | None = None,
) -> tuple[Factors, dict[str, Any]]:
    """The edit of one block, from statistics of the sets of one request or of several.

    Args:
        requests: for each request the statistics of its sets: ``forget`` and any other that ``keep`` names.
        block: the block to edit.
        vectors: ``c r_i``, shape (k, d_model), in the order of the k requests.
        spans: spans of each ``forget`` set with y = 1.
        keep: weight of each token with y = 0, by set and span; of a request's own set, for every request.
        ridge: relative ``lambda``.
        shared: statistics of the sets that ``keep`` names and that all requests share, counted once.

    Returns:
        The edit, whose column i is that of request i, and facts about it: ``objective``, ``objective_unedited``,
        ``lambda``, ``singular_values`` and ``detector``. The last is the mean score v . h of each set's tokens: 1 if
        redirected in full, 0 if untouched. With several requests the score is a list with a row for each request (one
        row for a shared set) and a column for each detector.

    Raises:
        LunarError: a span of the forget set is to be redirected and kept at once, or a request has no tokens to
            redirect.
    """
    shared = shared or {}
    both = sorted(set(spans) & {span for span, weight in keep.get("forget", {}).items() if weight > 0})
    if both:
        raise LunarError(f"keep.forget.{both[0]}: the span is also in redirect; a token cannot be moved and kept")
    gram: Any = 0.0
    # By set and span the sum of inputs and the number of tokens, of each request.
    groups: dict[str, list[tuple[torch.Tensor, int]]] = {"forget redirected": []}
    for number, own in enumerate(requests, start=1):
        forget = own["forget"]
        gram = gram + forget.gram(block, spans)
        groups["forget redirected"].append((forget.sum(block, spans), forget.tokens(spans)))
        if not forget.tokens(spans):
            of = f" of request {number}" if len(requests) > 1 else ""
            raise LunarError(f"redirect: the forget set{of} has no tokens of {', '.join(spans)}")
    for name, weights in keep.items():
        for source in [shared[name]] if name in shared else [own[name] for own in requests]:
            for span, weight in weights.items():
                gram = gram + weight * source.gram(block, [span])
                found = groups.setdefault(f"{name} {span}", [])
                found.append((source.sum(block, [span]), source.tokens([span])))
    strength = ridge_strength(gram, ridge)
    targets, counts = zip(*groups["forget redirected"], strict=True)
    target_sum = torch.stack(targets, dim=1)
    v = detector(gram, target_sum, strength)
    edit = Factors(vectors.T.float(), v.float())
    scores = {
        name: [[float(total @ one) / tokens for one in v.T] for total, tokens in found if tokens]
        for name, found in groups.items()
    }
    facts = {
        "objective": objective(v, gram, target_sum, counts, strength, vectors),
        "objective_unedited": objective(torch.zeros_like(v), gram, target_sum, counts, strength, vectors),
        "lambda": strength,
        "singular_values": edit.singular_values().tolist(),
        "detector": {name: rows[0][0] if len(requests) == 1 else rows for name, rows in scores.items() if rows},
    }
    return edit, facts
