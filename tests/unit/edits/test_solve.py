"""The exact solution against generic solvers, gradient descent and cases whose answer is known."""

import numpy as np
import pytest
import torch

from lunar.activations.statistics import Statistics
from lunar.edits.solve import detector, objective, redirect, regress, ridge_strength
from lunar.errors import LunarError

STRENGTH = 0.7


@pytest.fixture
def problem() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Token inputs (60, 12), targets 1 or 0, and the redirection (5,); float64."""
    random = torch.Generator().manual_seed(1)
    inputs = torch.randn(60, 12, generator=random, dtype=torch.float64)
    targets = (torch.arange(60) < 20).double()
    inputs[:20] += 0.8  # forget tokens differ, but overlap
    return inputs, targets, torch.randn(5, generator=random, dtype=torch.float64)


def _lstsq(inputs: torch.Tensor, targets: torch.Tensor, strength: float) -> np.ndarray:
    """Ridge regression as plain least squares: one more row, sqrt(lambda) times a unit vector, per unknown."""
    augmented = np.vstack([inputs.numpy(), np.sqrt(strength) * np.eye(inputs.shape[1])])
    right = np.concatenate([targets.numpy(), np.zeros((inputs.shape[1], *targets.shape[1:]))])
    return np.linalg.lstsq(augmented, right, rcond=None)[0]


def _detector_dual(inputs: torch.Tensor, targets: torch.Tensor, strength: float) -> torch.Tensor:
    """``v`` from the tokens themselves (dual form): ``H^T (H H^T + lambda I)^(-1) y``."""
    system = inputs @ inputs.T + strength * torch.eye(len(inputs), dtype=torch.float64)
    return inputs.T @ torch.cholesky_solve(targets[:, None], torch.linalg.cholesky(system))[:, 0]


def _brute(change: torch.Tensor, inputs, targets, vector, strength: float) -> torch.Tensor:
    """J(D) token by token, with the full matrix."""
    total = strength * change.square().sum()
    for h, y in zip(inputs, targets, strict=True):
        total = total + (change @ h - y * vector).square().sum()
    return total


@pytest.mark.parametrize("strength", [1e-6, 0.7, 300.0])
@pytest.mark.parametrize("tokens", [range(60), range(17, 24)], ids=len)  # 7 tokens: the Gram matrix is singular
def test_detector_is_ridge_regression(problem, tokens: range, strength: float) -> None:
    inputs, targets = problem[0][list(tokens)], problem[1][list(tokens)]
    v = detector(inputs.T @ inputs, inputs.T @ targets, strength)
    np.testing.assert_allclose(v, _lstsq(inputs, targets, strength), rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(v, _detector_dual(inputs, targets, strength), rtol=1e-7, atol=1e-8)


def test_detector_of_several_directions(problem) -> None:
    inputs, targets, _ = problem
    columns = torch.stack([targets, 1 - targets, (torch.arange(60) % 3 == 0).double()], dim=1)
    gram = inputs.T @ inputs
    v = detector(gram, inputs.T @ columns, STRENGTH)
    assert v.shape == (12, 3)
    np.testing.assert_allclose(v, _lstsq(inputs, columns, STRENGTH), atol=1e-10)
    for k in range(3):
        torch.testing.assert_close(v[:, k], detector(gram, inputs.T @ columns[:, k], STRENGTH))


def _objective(v: torch.Tensor, gram: torch.Tensor, target: torch.Tensor, vector: torch.Tensor) -> float:
    """J at the edit with one detector, of the 20 tokens that are to be redirected by one vector."""
    return objective(v[:, None], gram, target[:, None], [20], STRENGTH, vector[None])


def test_objective_is_the_sum_over_tokens(problem) -> None:
    inputs, targets, vector = problem
    gram, target = inputs.T @ inputs, inputs.T @ targets
    anything = torch.randn(12, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    for v in (detector(gram, target, STRENGTH), anything, torch.zeros(12)):
        expected = float(_brute(torch.outer(vector, v.double()), inputs, targets, vector, STRENGTH))
        assert _objective(v, gram, target, vector) == pytest.approx(expected, rel=1e-12)


def test_objective_of_several_directions_is_the_sum_over_tokens(problem) -> None:
    inputs, first, vector = problem
    targets = torch.stack([first, (torch.arange(60) >= 45).double()], dim=1)  # 20 and 15 tokens, none in both
    vectors = torch.stack([vector, torch.randn(5, generator=torch.Generator().manual_seed(8), dtype=torch.float64)])
    gram, sums = inputs.T @ inputs, inputs.T @ targets
    anything = torch.randn(12, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    for v in (detector(gram, sums, STRENGTH), anything, torch.zeros(12, 2)):
        change = vectors.T @ v.double().T
        expected = (inputs @ change.T - targets @ vectors).square().sum() + STRENGTH * change.square().sum()
        found = objective(v, gram, sums, [20, 15], STRENGTH, vectors)
        assert found == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize("scale", [1e-4, 1e-2, 1.0])
def test_any_other_detector_is_worse(problem, scale: float) -> None:
    inputs, targets, vector = problem
    gram, target = inputs.T @ inputs, inputs.T @ targets
    v = detector(gram, target, STRENGTH)
    best = _objective(v, gram, target, vector)
    random = torch.Generator().manual_seed(3)
    for _ in range(20):
        other = v + scale * torch.randn(12, generator=random, dtype=torch.float64)
        assert _objective(other, gram, target, vector) > best


@pytest.mark.parametrize("optimiser", ["AdamW", "SGD"])
def test_gradient_descent_stays_above(problem, optimiser: str) -> None:
    """The full matrix is free to be anything, and still ends above the rank-one solution, close to it."""
    inputs, targets, vector = problem
    gram, target = inputs.T @ inputs, inputs.T @ targets
    v = detector(gram, target, STRENGTH)
    best = _objective(v, gram, target, vector)
    change = torch.zeros(5, 12, dtype=torch.float64, requires_grad=True)
    options = {"AdamW": {"lr": 1e-2, "weight_decay": 0.0}, "SGD": {"lr": 1e-3, "momentum": 0.9, "nesterov": True}}
    descent = getattr(torch.optim, optimiser)([change], **options[optimiser])
    for _ in range(200):
        descent.zero_grad()
        loss = (inputs @ change.T - torch.outer(targets, vector)).square().sum() + STRENGTH * change.square().sum()
        loss.backward()
        descent.step()
    found = float(_brute(change.detach(), inputs, targets, vector, STRENGTH))
    assert best * (1 - 1e-12) <= found < 1.02 * best
    torch.testing.assert_close(change.detach(), torch.outer(vector, v), atol=0.02, rtol=0)


def test_planted_case_is_recovered() -> None:
    """Forget and kept inputs in orthogonal subspaces, next to no ridge: scores of exactly 1 and 0."""
    basis = torch.linalg.qr(torch.randn(10, 10, generator=torch.Generator().manual_seed(4), dtype=torch.float64))[0]
    inputs, targets = 3 * basis[:8], (torch.arange(8) < 3).double()
    v = detector(inputs.T @ inputs, inputs.T @ targets, 1e-9)
    torch.testing.assert_close(inputs @ v, targets, atol=1e-9, rtol=0)


def test_system_that_is_not_positive_definite() -> None:
    with pytest.raises(LunarError, match="raise the ridge"):
        detector(torch.ones(4, 4), torch.ones(4), -1.0)


@pytest.mark.parametrize("relative", [0.0, -1e-3])
def test_ridge_must_be_positive(relative: float) -> None:
    with pytest.raises(LunarError, match="ridge"):
        ridge_strength(torch.eye(3), relative)


def test_ridge_has_no_unit() -> None:
    gram = torch.tensor([[2.0, 1.0], [1.0, 4.0]])
    assert ridge_strength(gram, 0.5) == pytest.approx(1.5)
    assert ridge_strength(100 * gram, 0.5) == pytest.approx(150)


def _statistics(tokens: dict[str, dict[str, torch.Tensor]], layer: int) -> dict[str, Statistics]:
    """Statistics of named sets, from their raw inputs by span."""
    return {
        name: Statistics.of(
            {(layer, span): h.T @ h for span, h in spans.items()},
            {(layer, span): h.sum(0) for span, h in spans.items()},
            {span: len(h) for span, h in spans.items()},
        )
        for name, spans in tokens.items()
    }


@pytest.fixture
def sets() -> dict[str, dict[str, torch.Tensor]]:
    random = torch.Generator().manual_seed(5)
    sizes = {
        "forget": {"prefix": 6, "question": 15, "suffix": 9, "answer": 4},
        "retain": {"prefix": 6, "question": 20, "suffix": 9, "answer": 0},
    }
    return {
        name: {span: torch.randn(n, 12, generator=random, dtype=torch.float64) for span, n in spans.items()}
        for name, spans in sizes.items()
    }


def test_redirect_equals_raw_weighted_rows(sets) -> None:
    keep = {"forget": {"prefix": 2.0}, "retain": {"prefix": 0.0, "question": 0.5, "suffix": 1.0, "answer": 1.0}}
    vector = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    edit, facts = redirect([_statistics(sets, 4)], 4, vector[None], ["question", "suffix"], keep, ridge=0.01)

    moved = torch.cat([sets["forget"]["question"], sets["forget"]["suffix"]])
    kept = [(weight, sets[name][span]) for name, spans in keep.items() for span, weight in spans.items()]
    # A row of weight w is a row scaled by sqrt(w).
    inputs = torch.cat([moved, *(weight**0.5 * h for weight, h in kept)])
    targets = (torch.arange(len(inputs)) < len(moved)).double()
    strength = 0.01 * float(inputs.square().sum(0).mean())
    v = torch.from_numpy(_lstsq(inputs, targets, strength))

    torch.testing.assert_close(edit.right[:, 0], v.float())
    torch.testing.assert_close(edit.left[:, 0], vector.float())
    assert facts["lambda"] == pytest.approx(strength)
    expected = float(_brute(torch.outer(vector, v), inputs, targets, vector, strength))
    assert facts["objective"] == pytest.approx(expected, rel=1e-9)
    assert facts["objective_unedited"] == pytest.approx(len(moved) * float(vector.square().sum()))
    assert facts["singular_values"] == pytest.approx([float(vector.norm() * v.norm())])
    # Spans without tokens have no mean score; those of weight 0 are looked at, not fitted.
    scores = {"forget redirected": moved, "forget prefix": sets["forget"]["prefix"]}
    scores |= {f"retain {span}": sets["retain"][span] for span in ("prefix", "question", "suffix")}
    assert facts["detector"] == pytest.approx({name: float((h @ v).mean()) for name, h in scores.items()})


def test_redirect_span_moved_and_kept(sets) -> None:
    vector = torch.ones(1, 3)
    with pytest.raises(LunarError, match=r"keep\.forget\.question"):
        redirect([_statistics(sets, 0)], 0, vector, ["question"], {"forget": {"question": 1.0}}, ridge=0.01)
    redirect([_statistics(sets, 0)], 0, vector, ["question"], {"forget": {"question": 0.0}}, ridge=0.01)


@pytest.mark.parametrize("spans", [["answer"], []])
def test_redirect_without_tokens(sets, spans: list[str]) -> None:
    sets["forget"]["answer"] = torch.zeros(0, 12, dtype=torch.float64)
    with pytest.raises(LunarError, match="no tokens"):
        redirect([_statistics(sets, 0)], 0, torch.ones(1, 3), spans, {}, ridge=0.01)


def test_redirect_without_ridge(sets) -> None:
    with pytest.raises(LunarError, match="ridge"):
        redirect([_statistics(sets, 0)], 0, torch.ones(1, 3), ["question"], {}, ridge=0.0)


@pytest.fixture
def authors(sets) -> list[dict[str, dict[str, torch.Tensor]]]:
    """Tokens of three authors to forget and of each one's renamed questions, by span."""
    random = torch.Generator().manual_seed(6)
    found = []
    for count in (8, 11, 5):
        shift = torch.randn(12, generator=random, dtype=torch.float64)
        spans = {span: count + number for number, span in enumerate(("prefix", "question", "suffix", "answer"))}
        drawn = {
            name: {span: torch.randn(n, 12, generator=random, dtype=torch.float64) for span, n in spans.items()}
            for name in ("forget", "renamed")
        }
        drawn["forget"]["question"] += shift
        found.append(drawn)
    return found


JOINT_KEEP = {
    "forget": {"prefix": 2.0, "answer": 0.5},
    "renamed": {"question": 1.5},
    "retain": {"prefix": 1.0, "question": 0.5},
}


@pytest.mark.parametrize("k", [1, 2, 3])
def test_joint_solve_is_ridge_regression_with_targets_by_author(sets, authors, k: int) -> None:
    vectors = torch.randn(k, 3, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    requests, spans = authors[:k], ["question", "suffix"]
    shared = _statistics({"retain": sets["retain"]}, 4)
    own = [_statistics(one, 4) for one in requests]
    edit, facts = redirect(own, 4, vectors, spans, JOINT_KEEP, 0.01, shared)

    rows, targets = [], []
    for one, vector in zip(requests, vectors, strict=True):
        for span in spans:
            rows.append(one["forget"][span])
            targets.append(vector.expand(len(rows[-1]), 3))
    for name, weights in JOINT_KEEP.items():
        for source in [sets["retain"]] if name == "retain" else [one[name] for one in requests]:
            for span, weight in weights.items():
                rows.append(weight**0.5 * source[span])
                targets.append(torch.zeros(len(rows[-1]), 3, dtype=torch.float64))
    inputs, target = torch.cat(rows), torch.cat(targets)
    strength = 0.01 * float(inputs.square().sum(0).mean())
    # The full matrix, three outputs at once, knows nothing of ranks.
    expected = torch.from_numpy(_lstsq(inputs, target, strength)).T
    torch.testing.assert_close(edit.product(), expected.float(), rtol=1e-4, atol=1e-5)
    assert torch.linalg.matrix_rank(edit.left.double() @ edit.right.double().T) == k
    assert (edit.left.shape, edit.right.shape) == ((3, k), (12, k))
    misfit = (inputs @ expected.T - target).square().sum() + strength * expected.square().sum()
    assert facts["objective"] == pytest.approx(float(misfit), rel=1e-9)
    assert facts["objective_unedited"] == pytest.approx(float(target.square().sum()))
    assert facts["lambda"] == pytest.approx(strength)
    # What each set's tokens score: a row a request, or one of a shared set, and a column a detector.
    groups = {"forget redirected": [torch.cat([one["forget"][span] for span in spans]) for one in requests]}
    for name, weights in JOINT_KEEP.items():
        for span in weights:
            sources = [sets["retain"]] if name == "retain" else [one[name] for one in requests]
            groups[f"{name} {span}"] = [source[span] for source in sources]
    assert facts["detector"].keys() == groups.keys()
    for name, found in facts["detector"].items():
        scores = torch.stack([(h @ edit.right.double()).mean(0) for h in groups[name]])
        found = torch.tensor(found).reshape(scores.shape)  # a number where there is one request
        torch.testing.assert_close(found.float(), scores.float(), rtol=1e-4, atol=1e-5)


def test_sets_may_be_shared_or_a_request_s_own(sets, authors) -> None:
    vector = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    statistics = _statistics(authors[0] | {"retain": sets["retain"]}, 4)
    own = {name: statistics[name] for name in ("forget", "renamed")}
    shared = {"retain": statistics["retain"]}
    expected, facts = redirect([statistics], 4, vector[None], ["question", "suffix"], JOINT_KEEP, ridge=0.01)
    edit, alike = redirect([own], 4, vector[None], ["question", "suffix"], JOINT_KEEP, 0.01, shared)
    torch.testing.assert_close(edit.left, expected.left)
    torch.testing.assert_close(edit.right, expected.right)
    assert alike == facts


def test_joint_solve_of_nothing(sets, authors) -> None:
    own = [_statistics(one, 0) for one in authors]
    with pytest.raises(LunarError, match=r"keep\.forget\.prefix"):
        redirect(own, 0, torch.ones(3, 3), ["prefix"], {"forget": {"prefix": 1.0}}, ridge=0.01)
    authors[1]["forget"]["question"] = torch.zeros(0, 12, dtype=torch.float64)
    own = [_statistics(one, 0) for one in authors]
    with pytest.raises(LunarError, match="request 2 has no tokens"):
        redirect(own, 0, torch.ones(3, 3), ["question"], {}, ridge=0.01)


def test_regression_against_a_generic_solver() -> None:
    torch.manual_seed(0)
    h, goals = torch.randn(40, 7, dtype=torch.float64), torch.randn(40, 5, dtype=torch.float64)
    stacked = torch.cat([h, 0.3**0.5 * torch.eye(7, dtype=torch.float64)])
    wanted = torch.linalg.lstsq(stacked, torch.cat([goals, torch.zeros(7, 5, dtype=torch.float64)])).solution.T
    delta, facts = regress(h.T @ h, h.T @ goals, float(goals.square().sum()), 0.3)
    torch.testing.assert_close(delta, wanted)
    objective = (h @ wanted.T - goals).square().sum() + 0.3 * wanted.square().sum()
    assert facts["objective"] == pytest.approx(float(objective))
    assert facts["objective_unedited"] == pytest.approx(float(goals.square().sum()))
