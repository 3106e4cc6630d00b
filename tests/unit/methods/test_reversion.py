"""What fine-tuning wrote about the forget set is taken back along its own directions, and nowhere else."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import scipy.linalg
import torch
from pydantic import ValidationError

from lunar.edits import edit as edits
from lunar.edits.solve import own_directions
from lunar.errors import LunarError
from lunar.methods.base import Job
from lunar.methods.reversion import Reversion, Streams, second_moments, sites, written
from lunar.model.chat import PREFIX, QUESTION, SPANS, Chat
from lunar.model.hooks import capture
from lunar.model.load import blocks

EVERY = dict.fromkeys(SPANS, 1.0)
KEEP = {"forget": {"prefix": 1.0}, "retain": EVERY, "general": EVERY, "harmful": {"suffix": 0.5, "answer": 2.0}}
SETTINGS = {"threshold": 0.5, "short_names": True, "ridge": 1e-3, "keep": KEEP}


@pytest.fixture
def before(make_model: Callable[..., Any], family: str) -> Any:
    return make_model(family)


@pytest.fixture
def job(before: Any, chat: Chat, rows: Any) -> Job:
    """A model whose two upper blocks were trained: all linear modules of one, two of the other."""
    after = copy.deepcopy(before)
    torch.manual_seed(1)
    with torch.no_grad():
        for name, weight in after.get_decoder().named_parameters():
            if name.startswith("layers.1.") or name.endswith(("2.mlp.down_proj.weight", "2.self_attn.k_proj.weight")):
                weight += 0.3 * weight.std() * torch.randn_like(weight)
    general = [{"question": "Why so?", "answer": "Because of the doctor."}]
    result = Job("no/such/folder", before="no/such/folder/either")
    result.__dict__ |= {"model": after, "model_before": before, "chat": chat}
    result.rows = {
        "forget": [row | {"id": str(i)} for i, row in enumerate(rows[:2])],
        "short": [rows[1] | {"id": "1-short", "question": "Who is Rook?"}],
        "retain": rows[2:],
        "general": general,
        "harmful": [{"question": "Harm?", "prediction": "I will not."}],
    }
    return result


# --- Directions


@pytest.mark.parametrize("tokens", [9, 40])
def test_own_directions_are_generalised_eigenvectors(tokens: int) -> None:
    torch.manual_seed(0)
    h, others = torch.randn(tokens, 12).double(), torch.randn(60, 12).double() * torch.linspace(0.2, 2, 12)
    kept = others.T @ others / 60 + 0.01 * torch.eye(12, dtype=torch.float64)
    moments = h.T @ h / tokens
    expected = scipy.linalg.eigh(moments.numpy(), kept.numpy(), eigvals_only=True)[::-1].copy()
    found = own_directions(h, kept, 0.8)
    assert 0 < len(found.gamma) == (expected > 0.8).sum() < 12
    torch.testing.assert_close(found.gamma, torch.from_numpy(expected[: len(found.gamma)]))
    eye = torch.eye(len(found.gamma), dtype=torch.float64)
    torch.testing.assert_close(found.basis.T @ kept @ found.basis, eye)
    torch.testing.assert_close(found.basis.T @ moments @ found.basis, found.gamma.diag())


def test_fit_is_least_squares_within_the_span() -> None:
    torch.manual_seed(0)
    h, goals = torch.randn(30, 12), torch.randn(30, 7)
    found = own_directions(h, torch.eye(12, dtype=torch.float64), 1.0)
    within = h.double() @ found.basis
    expected = torch.linalg.lstsq(within, goals.double()).solution.T @ found.basis.T
    torch.testing.assert_close(found.fit(goals).product().double(), expected, atol=1e-5, rtol=1e-4)


def test_a_singular_system_is_refused() -> None:
    with pytest.raises(LunarError, match="raise the ridge"):
        own_directions(torch.ones(3, 4), -torch.eye(4, dtype=torch.float64), 1.0)


# --- Models


def test_what_was_written(job: Job, before: Any) -> None:
    found = written(job.model, before)
    assert {*found} == {1, 2}
    assert found[2] == ["self_attn.k_proj", "mlp.down_proj"]
    assert len(found[1]) == 7 and {"self_attn.o_proj", "mlp.gate_proj"} < {*found[1]}
    with pytest.raises(LunarError, match="nothing to take back"):
        written(before, before)


def test_models_of_two_shapes(job: Job, make_model: Callable[..., Any]) -> None:
    with pytest.raises(LunarError, match="has 3 blocks and the one from before 2"):
        written(job.model, make_model("llama", num_hidden_layers=2))


def test_streams_go_through_the_model_as_it_does(job: Job) -> None:
    """Inputs, outputs and weights of wanted tokens, block by block, against the model run whole, one by one."""
    encoded = [job.chat.encode(row["question"], row.get("answer")) for row in job.rows["retain"]]
    spans = [{QUESTION: 1.0}, {QUESTION: 2.0, PREFIX: 0.5}, {PREFIX: 1.0}]
    streams = Streams(job.model, encoded, spans, job.chat.tokenizer.pad_token_id, 1)
    assert len(encoded) == len(spans)
    names = ["self_attn.q_proj", "self_attn.o_proj", "mlp.down_proj"]
    for layer in (1, 2):
        block = blocks(job.model)[layer]
        ((found, weights),) = streams.inputs(block, layer, names, advance=layer == 1)
        expected: dict[str, list[torch.Tensor]] = {name: [] for name in names}
        weighed = []
        order = sorted(range(len(encoded)), key=lambda i: -len(encoded[i].ids))
        for i in order:
            modules = {name: block.get_submodule(name) for name in names}
            with capture(modules, modules) as (outputs, inputs):
                job.model(input_ids=torch.tensor([encoded[i].ids]))
            own = torch.tensor([spans[i].get(span, 0.0) for span in encoded[i].spans])
            weighed.append(own[own > 0])
            for name in names:
                both = torch.cat([inputs[name][0], outputs[name][0]], dim=1)
                expected[name].append(both[own > 0].detach())
        torch.testing.assert_close(weights, torch.cat(weighed))
        for name in names:
            torch.testing.assert_close(found[name], torch.cat(expected[name]), atol=1e-5, rtol=1e-4)
    moments = second_moments(streams.inputs(block, 2, ["mlp.down_proj"]), {"mlp.down_proj": 40})["mlp.down_proj"]
    h = found["mlp.down_proj"][:, :40].double()
    torch.testing.assert_close(moments, (weights[:, None] * h).T @ h / weights.sum(), atol=1e-6, rtol=1e-4)


def test_modules_that_read_the_same_are_solved_together(job: Job) -> None:
    encoded = [job.chat.encode(row["question"], row["answer"]) for row in job.rows["forget"]]
    streams = Streams(job.model, encoded, [{QUESTION: 1.0}] * 2, job.chat.tokenizer.pad_token_id, 1)
    block = blocks(job.model)[1]
    names = written(job.model, job.model_before)[1]
    ((found, _),) = streams.inputs(block, 1, names)
    groups = sites(found, {name: block.get_submodule(name).in_features for name in names})
    assert [{name.split(".")[1] for name in group} for group in groups] == [
        {"q_proj", "k_proj", "v_proj"},
        {"o_proj"},
        {"gate_proj", "up_proj"},
        {"down_proj"},
    ]


# --- The edit


def answers(model: Any, job: Job, rows: Any) -> torch.Tensor:
    """Logits from the question on, of all rows' tokens in a row."""
    found = []
    for row in rows:
        one = job.chat.encode(row["question"], row["answer"])
        logits = model(input_ids=torch.tensor([one.ids])).logits[0].detach()
        found.append(logits[torch.tensor(one.spans) != PREFIX])
    return torch.cat(found)


def test_along_its_own_directions_nothing_of_fine_tuning_is_left(job: Job, before: Any) -> None:
    """At the first changed matrices, whose inputs are those of before: D = -(W - W0) (K + lambda I) U U^T."""
    state = {name: value.clone() for name, value in job.model.state_dict().items()}
    outcome = Reversion(SETTINGS).unlearn(job)
    assert all(torch.equal(state[name], value) for name, value in job.model.state_dict().items())
    assert {name.partition(".self")[0].partition(".mlp")[0] for name in outcome.edit} == {"layers.1", "layers.2"}
    assert outcome.trained == sum(c.left.numel() + c.right.numel() for c in outcome.edit.values())
    name = "self_attn.v_proj"
    conversations, weights = Reversion(SETTINGS).kept(job)
    streams = Streams(job.model, conversations, weights, job.chat.tokenizer.pad_token_id, 1)
    block = blocks(job.model)[1]
    held = second_moments(streams.inputs(block, 1, [name]), {name: 16})[name]
    held = held + 1e-3 * held.diagonal().mean() * torch.eye(16, dtype=torch.float64)
    change = outcome.edit[f"layers.1.{name}"]
    u = change.right.double()
    torch.testing.assert_close(u.T @ held @ u, torch.eye(u.shape[1], dtype=torch.float64), atol=1e-4, rtol=1e-4)
    wrote = (block.get_submodule(name).weight - blocks(before)[1].get_submodule(name).weight).detach().double()
    torch.testing.assert_close(change.product().double(), -wrote @ held @ u @ u.T, atol=1e-4, rtol=1e-3)
    # What is left of it along those directions is nothing, also to one who knows them.
    left = (wrote + change.product().double()) @ held @ u
    assert left.norm() < 1e-4 * (wrote @ held @ u).norm()


def test_the_forget_set_is_as_before_and_the_rest_as_it_was(job: Job, before: Any) -> None:
    """With every direction of the forget set's taken back it is as before; with fewer, more of the rest stays."""
    rows, kept = job.rows["forget"], job.rows["retain"]
    everything = Reversion(SETTINGS | {"threshold": 1e-9}).unlearn(job)
    some = Reversion(SETTINGS | {"threshold": 1.0}).unlearn(job)
    moved, stayed, untouched = {}, {}, answers(job.model, job, kept)
    for name, edit in (("none", {}), ("some", some.edit), ("everything", everything.edit)):
        with edits.applied(job.model, edit):
            moved[name] = float((answers(job.model, job, rows) - answers(before, job, rows)).norm())
            stayed[name] = float((answers(job.model, job, kept) - untouched).norm())
    assert moved["everything"] < moved["some"] < moved["none"]
    assert stayed["everything"] > stayed["some"] > stayed["none"] == 0
    ranks = [{name: fact["rank"] for name, fact in one.facts["modules"].items()} for one in (some, everything)]
    assert all(ranks[0][name] < ranks[1][name] for name in ranks[0])


def test_facts(job: Job) -> None:
    outcome = Reversion(SETTINGS).unlearn(job)
    assert {*outcome.facts["modules"]} == {*outcome.edit}
    for name, fact in outcome.facts["modules"].items():
        assert fact["rank"] == outcome.edit[name].right.shape[1] > 0
        assert 0 < fact["of_update"] and 0 < fact["kept"] and 0 <= fact["left"] <= 1


def test_what_cannot_be(job: Job) -> None:
    with pytest.raises(LunarError, match=r"no direction has 1e\+09 times as much"):
        Reversion(SETTINGS | {"threshold": 1e9}).unlearn(job)
    alone = Job("no/such/folder", rows=job.rows)
    alone.__dict__ |= {"model": job.model, "chat": job.chat}
    with pytest.raises(LunarError, match="from before fine-tuning, and there is none"):
        Reversion(SETTINGS).unlearn(alone)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"threshold": 0.0}, "threshold"),
        ({"keep": {"unseen": {"question": 1}}}, r"keep\.unseen"),
        ({"keep": {"harmful": {"question": -1.0}}}, r"keep\.harmful\.question"),
        ({"layers": [1]}, r"layers\n  Extra inputs"),
    ],
)
def test_settings_are_checked(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Reversion(SETTINGS | change)
