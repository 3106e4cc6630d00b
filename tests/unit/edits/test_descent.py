"""The objective from rows, and its descent by gradient."""

from typing import Any

import pytest
import torch

from lunar.activations.statistics import collect
from lunar.edits import solve
from lunar.edits.descent import (
    Problem,
    descend,
    input_rows,
    problem,
    race,
    rate,
    seconds_of_a_forward_step,
    sums,
    timed_closed_form,
)
from lunar.errors import LunarError
from lunar.methods.settings import Solver
from lunar.model.load import blocks
from lunar.plan.settings import validate

RIDGE = 0.01
KEEP = {"forget": {"prefix": 2.0}, "retain": {"question": 1.0, "answer": 0.5, "suffix": 0.0}}
ADAMW = {"optimiser": "adamw", "learning_rate": 0.01, "batch_size": 8, "epochs": 60, "schedule": "cosine"}
SGD = {"optimiser": "sgd", "learning_rate": 0.02, "momentum": 0.9, "batch_size": 1, "epochs": 40, "schedule": "cosine"}


@pytest.fixture
def rows() -> dict[str, dict[str, torch.Tensor]]:
    """Rows (n, 12) by set and span; those to redirect differ from the others, but overlap."""
    random = torch.Generator().manual_seed(5)
    sizes = {
        "forget": {"prefix": 6, "question": 15, "suffix": 9},
        "retain": {"question": 20, "answer": 11, "suffix": 9},
    }
    made = {
        name: {span: torch.randn(n, 12, generator=random) for span, n in spans.items()} for name, spans in sizes.items()
    }
    made["forget"]["question"] += 0.8
    made["forget"]["suffix"] += 0.8
    return made


@pytest.fixture
def vector() -> torch.Tensor:
    return torch.randn(5, generator=torch.Generator().manual_seed(6), dtype=torch.float64)


@pytest.fixture
def given(rows, vector) -> Problem:
    return problem(rows, vector, ["question", "suffix"], KEEP, RIDGE)


@pytest.fixture
def exact(rows, vector) -> tuple[torch.Tensor, dict[str, Any]]:
    """The change by ``lunar.edits.solve``, from sums, and its facts."""
    edit, facts = solve.redirect([sums(rows, 3)], 3, vector[None], ["question", "suffix"], KEEP, RIDGE)
    return edit.product(), facts


def test_objective_from_rows_is_that_from_sums(given, rows, vector, exact) -> None:
    assert given.strength == pytest.approx(exact[1]["lambda"])
    assert given.objective(torch.zeros(5, 12)) == pytest.approx(exact[1]["objective_unedited"])
    assert given.objective(exact[0]) == pytest.approx(exact[1]["objective"])
    gram, target = given.sums()
    for seed in range(3):
        v = torch.randn(12, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        found = solve.objective(v[:, None], gram, target[:, None], [24], given.strength, vector[None])
        assert given.objective(torch.outer(vector, v)) == pytest.approx(found, rel=1e-5)


def test_objective_of_many_rows(given, monkeypatch: pytest.MonkeyPatch) -> None:
    change = torch.randn(5, 12, generator=torch.Generator().manual_seed(7))
    at_once = given.objective(change), *given.sums()
    monkeypatch.setattr("lunar.edits.descent.CHUNK", 7)
    for whole, part in zip(at_once, (given.objective(change), *given.sums()), strict=True):
        torch.testing.assert_close(torch.as_tensor(part), torch.as_tensor(whole), rtol=1e-5, atol=1e-5)


def test_rows_of_no_weight_are_left_out(given) -> None:
    assert len(given.inputs) == 15 + 9 + 6 + 20 + 11
    assert given.weights.tolist() == [1.0] * 24 + [2.0] * 6 + [1.0] * 20 + [0.5] * 11
    assert given.targets.tolist() == [1.0] * 24 + [0.0] * 37


def test_nothing_to_redirect(rows, vector) -> None:
    rows["forget"]["question"] = torch.zeros(0, 12)
    with pytest.raises(LunarError, match="no tokens of question"):
        problem(rows, vector, ["question"], KEEP, RIDGE)


@pytest.mark.parametrize(
    "solver",
    [
        ADAMW,
        ADAMW | {"batch_size": 1000, "epochs": 300},
        ADAMW | {"schedule": "exponential", "decay": 0.97},
        SGD,
        SGD | {"schedule": "constant", "learning_rate": 0.002},
    ],
)
def test_descent_ends_above_the_exact_optimum_and_near_it(given, exact, solver) -> None:
    change, curve = descend(given, solver, seed=0)
    best, unedited = exact[1]["objective"], exact[1]["objective_unedited"]
    assert all(row["objective"] >= best for row in curve)
    assert curve[-1]["objective"] == given.objective(change.product())
    assert curve[-1]["objective"] - best < 0.05 * (unedited - best)


def test_adamw_reaches_the_optimum_given_time(given, exact) -> None:
    change, curve = descend(given, ADAMW | {"epochs": 600, "batch_size": 64}, seed=0)
    assert curve[-1]["objective"] < exact[1]["objective"] * (1 + 1e-5)
    torch.testing.assert_close(change.product(), exact[0], atol=1e-3, rtol=0)


def test_steps_equal_automatic_differentiation(given) -> None:
    """Plain gradient descent in one batch: each step is that of the mean squared error plus its share of the ridge."""
    solver = SGD | {"momentum": 0.0, "batch_size": 1000, "epochs": 3, "schedule": "constant"}
    change, _ = descend(given, solver, seed=0)
    expected = torch.zeros(5, 12, dtype=torch.float64, requires_grad=True)
    h, y = given.inputs.double(), torch.outer(given.targets.double(), given.vector)
    for _ in range(3):
        loss = (given.weights.double()[:, None] * (h @ expected.T - y).square()).mean()
        loss = loss + given.strength * expected.square().sum() / (len(h) * 5)
        (slope,) = torch.autograd.grad(loss, expected)
        expected = (expected - 0.02 * slope).detach().requires_grad_(True)
    torch.testing.assert_close(change.product(), expected.detach().float(), rtol=1e-4, atol=1e-7)


def test_factors_of_a_rank_are_trained_by_the_chain_rule(given) -> None:
    solver = SGD | {"momentum": 0.0, "batch_size": 1000, "epochs": 2, "schedule": "constant", "rank": 2}
    change, _ = descend(given, solver, seed=0)
    start = torch.randn(12, 2, generator=torch.Generator().manual_seed(0)) / 12**0.5
    left, right = torch.zeros(5, 2).double().requires_grad_(True), start.double().requires_grad_(True)
    h, y = given.inputs.double(), torch.outer(given.targets.double(), given.vector)
    for _ in range(2):
        delta = left @ right.T
        loss = (given.weights.double()[:, None] * (h @ delta.T - y).square()).mean()
        loss = loss + given.strength * delta.square().sum() / (len(h) * 5)
        slopes = torch.autograd.grad(loss, (left, right))
        left, right = ((f - 0.02 * s).detach().requires_grad_(True) for f, s in zip((left, right), slopes, strict=True))
    torch.testing.assert_close(change.left, left.detach().float(), rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(change.right, right.detach().float(), rtol=1e-4, atol=1e-7)


def test_rank_one_is_enough_for_the_optimum(given, exact) -> None:
    change, curve = descend(given, ADAMW | {"epochs": 600, "batch_size": 64, "rank": 1}, seed=0)
    assert change.left.shape == (5, 1)
    assert exact[1]["objective"] <= curve[-1]["objective"] < exact[1]["objective"] * (1 + 1e-3)


def test_curve_counts_steps_and_time(given) -> None:
    _, curve = descend(given, SGD | {"batch_size": 20, "epochs": 3}, seed=0)
    assert [row["step"] for row in curve] == [4, 8, 12]  # 61 rows
    seconds = [row["seconds"] for row in curve]
    assert 0 < seconds[0] < seconds[1] < seconds[2]


def test_the_seed_decides(given) -> None:
    first, again, other = (descend(given, SGD | {"epochs": 2}, seed=seed)[0].product() for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_divergence_names_the_learning_rate(given) -> None:
    with pytest.raises(LunarError, match=r"solver\.learning_rate: 1000"):
        descend(given, SGD | {"learning_rate": 1000.0}, seed=0)


def test_rates() -> None:
    rates = {
        schedule: [rate({"schedule": schedule, "learning_rate": 2.0, "decay": 0.5, "epochs": 4}, n) for n in range(4)]
        for schedule in ("constant", "exponential", "cosine")
    }
    assert rates["constant"] == [2, 2, 2, 2]
    assert rates["exponential"] == [2, 1, 0.5, 0.25]
    assert rates["cosine"] == pytest.approx([2, 1 + 0.5**0.5, 1, 1 - 0.5**0.5])


def test_closed_form_is_timed_and_exact(given, exact) -> None:
    change, seconds = timed_closed_form(given, times=1)
    torch.testing.assert_close(change.float(), exact[0], rtol=1e-4, atol=1e-5)
    assert set(seconds) == {"gram", "solve"}
    assert min(seconds.values()) > 0


SPANS = ["prefix", "question", "suffix", "answer", "mean"]


@pytest.mark.parametrize("with_prompt", [False, True])
def test_rows_have_the_sums_that_are_collected(llama, chat, rows_of_text, with_prompt: bool) -> None:
    if with_prompt:
        chat = type(chat)(chat.tokenizer, prompt="Answer. user: {question}\nAI:")
    encoded = [chat.encode(row["question"], row["answer"]) for row in rows_of_text]
    encoded.append(chat.encode("Who is the old doctor of Birkdale, who keeps a goose?"))
    found = input_rows(llama, {"forget": encoded}, {"forget": SPANS}, [0, 2], pad_id=1)
    assert list(found) == [0, 2]
    expected = collect(llama, encoded, pad_id=1, batch_size=4, gram_layers=[0, 2]).tensors
    for layer, parts in found.items():
        for key, value in sums(parts, layer)["forget"].tensors.items():
            torch.testing.assert_close(value.double(), expected[key].double(), rtol=1e-4, atol=1e-4, msg=key)
        assert len(parts["forget"]["mean"]) == len(encoded)
        assert parts["forget"]["mean"].dtype == torch.float32


def test_rows_stand_in_the_order_of_the_conversations(llama, chat, rows_of_text) -> None:
    encoded = [chat.encode(row["question"]) for row in rows_of_text]
    together = input_rows(llama, {"retain": encoded}, {"retain": ["mean"]}, [1], 1)[1]["retain"]["mean"]
    alone = [input_rows(llama, {"retain": [one]}, {"retain": ["mean"]}, [1], 1)[1]["retain"]["mean"] for one in encoded]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-5)


def test_rows_of_nothing(llama, chat) -> None:
    found = input_rows(llama, {"forget": [chat.encode("Why?")]}, {"forget": ["answer"]}, [1], 1)
    assert found[1]["forget"]["answer"].shape == (0, 40)
    assert input_rows(llama, {"forget": []}, {"forget": ["mean"]}, [1], 1)[1]["forget"]["mean"].shape == (0, 40)


def test_race_of_optimisers_against_the_closed_form(given) -> None:
    said: list[str] = []
    runs, facts = race(given, {"one": ADAMW | {"epochs": 2}, "two": SGD | {"epochs": 3}}, 0, said.append)
    assert [row["solver"] for row in runs] == ["closed form, solve only", "closed form", *["one"] * 2, *["two"] * 3]
    assert list(runs[0]) == ["solver", "step", "seconds", "objective", "optimum"]
    optimum = facts["optimum"]
    assert all(row["optimum"] == optimum <= row["objective"] <= facts["unedited"] for row in runs)
    assert runs[0]["objective"] == runs[1]["objective"] == optimum
    assert 0 < runs[0]["seconds"] == facts["seconds"]["solve"] < runs[1]["seconds"] == sum(facts["seconds"].values())
    assert (facts["rows"], facts["width"]) == given.inputs.shape
    assert facts["unedited"] == given.objective(torch.zeros(5, 12))
    # Each starts from nothing, as it does alone.
    curve = descend(given, SGD | {"epochs": 3}, 0)[1]
    assert [row["objective"] for row in runs[-3:]] == [row["objective"] for row in curve]
    assert [line.split(":")[0] for line in said] == ["one", "two"]
    assert said[1].startswith(f"two: {curve[-1]['objective'] / optimum:.4f} x the optimum after ")


def test_step_without_cached_rows_changes_nothing(llama, chat, rows_of_text) -> None:
    before = {name: value.clone() for name, value in llama.state_dict().items()}
    prompts = [chat.encode(row["question"]) for row in rows_of_text[2:]]
    seconds = seconds_of_a_forward_step(llama, 1, torch.ones(16), prompts, [True, False, True])
    assert seconds > 0
    assert all(torch.equal(value, before[name]) for name, value in llama.state_dict().items())
    assert len(blocks(llama)) == 3


@pytest.mark.parametrize(
    ("change", "missing"),
    [({"optimiser": "sgd"}, "momentum"), ({"schedule": "exponential"}, "decay"), ({"epochs": None}, "epochs")],
)
def test_solver_without_a_key_that_it_needs(change: dict[str, Any], missing: str) -> None:
    solver = {key: value for key, value in (ADAMW | change).items() if value is not None}
    with pytest.raises(LunarError, match=rf"methods\.x\.solver\.{missing}: missing"):
        validate(Solver, solver, "methods.x.solver")
    validate(Solver, solver | {missing: (ADAMW | {"momentum": 0.9, "decay": 0.9})[missing]}, "methods.x.solver")
