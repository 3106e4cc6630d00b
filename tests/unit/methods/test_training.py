"""Methods trained by gradient: which way they push, what they tell, and that they leave no trace."""

import json
import math
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from lunar.edits import edit as edits
from lunar.edits.adapter import Adapter, Weights
from lunar.edits.edit import Dense, Factors
from lunar.errors import LunarError
from lunar.methods.base import METHODS, Job
from lunar.methods.training import Run
from lunar.model.load import blocks
from lunar.plan.declare import ENTRY
from lunar.plan.imports import imported_modules
from lunar.plan.user_defaults import resolve
from shipped import CONFIG, PLUGINS
from trained import FORMULAS, LORA, REFUSALS, TRAINER, trained_method

ROOT = Path(__file__).parents[3]
# A stream moves slowly, and a likelihood falls only once it has moved far; the others fell too little on some machines.
HARDER = {"rmu": {"epochs": 20, "learning_rate": 3e-2}, "simnpo": {"epochs": 20}, "gradient_difference": {"epochs": 20}}


def _weights(model) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def _run(job: Job) -> Run:
    """A run over a model in which nothing is trained."""
    return Run(job, None, refusals=True, size=2)


def _likelihood(job: Job, group: str = "forget") -> float:
    run = _run(job)
    return float(run.likelihoods(getattr(run, group)).mean())


def _logits(job: Job) -> torch.Tensor:
    with torch.no_grad():
        return job.model(torch.tensor([[5, 9, 30, 2, 77, 14]])).logits


@pytest.mark.parametrize("adapter", [LORA, None], ids=["lora", "full"])
@pytest.mark.parametrize("name", FORMULAS)
def test_pushes_the_right_way_and_leaves_no_trace(job, name: str, adapter) -> None:
    before, keys = _weights(job.model), list(dict(job.model.named_modules()))
    attributes = {part: set(vars(module)) for part, module in job.model.named_modules()}
    answers, refusals = _likelihood(job), _likelihood(job, "refused")
    outcome = trained_method(name, adapter=adapter, **HARDER.get(name, {})).unlearn(job)

    assert list(dict(job.model.named_modules())) == keys
    assert {part: set(vars(module)) for part, module in job.model.named_modules()} == attributes
    after = job.model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(value, before[key]) and value.dtype == before[key].dtype for key, value in after.items())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in job.model.parameters())
    assert not job.model.training

    with edits.applied(job.model, outcome.edit):
        if name == "idk":
            assert _likelihood(job, "refused") > refusals + 0.5
        elif name == "dpo":
            assert _likelihood(job, "refused") - _likelihood(job) > refusals - answers + 0.5
        else:
            assert _likelihood(job) < answers - 0.5
    kind, blocks_changed = (Factors, {1, 2}) if adapter else (Dense, {1, 2})
    if name == "rmu":
        assert list(outcome.edit) == ["layers.1.mlp.down_proj"]
    else:
        assert {edits.block_of(module) for module in outcome.edit} == blocks_changed
        assert len(outcome.edit) == 14
    assert all(isinstance(change, kind) for change in outcome.edit.values())
    assert outcome.trained == sum(part.numel() for change in outcome.edit.values() for part in vars(change).values())


@pytest.mark.parametrize("name", FORMULAS)
def test_curve_and_facts(job, name: str) -> None:
    outcome = trained_method(name, learning_rate=1e-3).unlearn(job)
    parts = ["loss", "loss_forget"] + (["loss_retain"] if FORMULAS[name] else [])
    assert [list(row) for row in outcome.curve] == [["step", "seconds", *parts]] * 6  # 3 rows in batches of 2, 3 times
    assert [row["step"] for row in outcome.curve] == [1, 2, 3, 4, 5, 6]
    for row in outcome.curve:
        weight = FORMULAS[name].get("retain_weight", 0.0)
        assert row["loss"] == pytest.approx(row["loss_forget"] + weight * row.get("loss_retain", 0.0))
    for part in parts:
        assert outcome.facts["losses"][part] == pytest.approx(sum(row[part] for row in outcome.curve[-2:]) / 2)
    json.dumps(outcome.facts)
    if name in ("kl", "rmu"):
        assert outcome.curve[0]["loss_retain"] == 0.0 < outcome.curve[-1]["loss_retain"]


@pytest.mark.parametrize("adapter", [LORA, None], ids=["lora", "full"])
@pytest.mark.parametrize("name", FORMULAS)
def test_same_seed_same_edit(job, name: str, adapter) -> None:
    def tensors(seed: int) -> dict[str, torch.Tensor]:
        job.seed = seed
        torch.manual_seed(seed + 50)  # what others drew before must not matter
        state = torch.get_rng_state()
        edit = trained_method(name, adapter=adapter).unlearn(job).edit
        assert torch.equal(torch.get_rng_state(), state)
        return {f"{module}.{part}": value for module, change in edit.items() for part, value in vars(change).items()}

    one, two, other = tensors(1), tensors(1), tensors(2)
    assert all(torch.equal(value, two[key]) for key, value in one.items())
    assert not any(torch.equal(value, other[key]) for key, value in one.items())


@pytest.mark.parametrize("adapter", [LORA, None], ids=["lora", "full"])
@pytest.mark.parametrize("name", ["npo", "rmu"])
def test_edit_is_what_was_trained(job, monkeypatch: pytest.MonkeyPatch, name: str, adapter) -> None:
    """Logits with the edit applied are those of the model as it was at the end of training."""
    trained = []
    kind = Adapter if adapter else Weights
    edit = kind.edit

    def spied(self):
        trained.append(_logits(job))
        return edit(self)

    before = _logits(job)
    monkeypatch.setattr(kind, "edit", spied)
    outcome = trained_method(name, adapter=adapter).unlearn(job)
    assert torch.equal(_logits(job), before)
    with edits.applied(job.model, outcome.edit):
        torch.testing.assert_close(_logits(job), trained[0], rtol=1e-4, atol=1e-4)
    assert (trained[0] - before).abs().max() > 0.05


@pytest.mark.parametrize("adapter", [LORA, None], ids=["lora", "full"])
@pytest.mark.parametrize("name", ["kl", "rmu"])
def test_retain_loss_with_bfloat16_products(job, monkeypatch: pytest.MonkeyPatch, name: str, adapter) -> None:
    """The pass of the model before must not leave its weights to the next: the loss would be 0 for ever.

    Four updates: with each the two runs part further, and how far hangs on the processor.
    """
    exact = trained_method(name, adapter=adapter, epochs=2).unlearn(job).curve
    monkeypatch.setattr("lunar.model.load.bfloat16_gains", lambda: True)
    curve = trained_method(name, adapter=adapter, epochs=2).unlearn(job).curve
    assert curve[0]["loss_retain"] == 0.0
    assert curve[-1]["loss_retain"] == pytest.approx(exact[-1]["loss_retain"], rel=0.3)
    assert curve[-1]["loss_forget"] == pytest.approx(exact[-1]["loss_forget"], rel=0.1)


@pytest.mark.parametrize("adapter", [LORA, None], ids=["lora", "full"])
@pytest.mark.parametrize("name", ["kl", "rmu"])
def test_weights_of_half_precision(job, make_model, knowing, name: str, adapter) -> None:
    """Trained numbers are float32 all the same, and the old weights come back in their own type."""
    job.model = make_model(dtype=torch.bfloat16)
    job.model.load_state_dict(knowing)
    before, answers = _weights(job.model), _likelihood(job)
    outcome = trained_method(name, adapter=adapter, **HARDER.get(name, {})).unlearn(job)
    assert all(torch.equal(value, before[key]) for key, value in job.model.state_dict().items())
    assert all(value.dtype == torch.float32 for change in outcome.edit.values() for value in vars(change).values())
    with edits.applied(job.model, outcome.edit):
        assert _likelihood(job) < answers - 0.3


@pytest.mark.parametrize("name", ["gradient_difference", "rmu"])
def test_every_family(job, make_model, family: str, name: str) -> None:
    job.model = make_model(family)
    before, logits = _weights(job.model), _logits(job)
    outcome = trained_method(name, epochs=8, batch_size=3).unlearn(job)
    assert all(torch.equal(value, before[key]) for key, value in job.model.state_dict().items())
    assert outcome.curve[-1]["loss_forget"] < outcome.curve[0]["loss_forget"] - 0.01
    with edits.applied(job.model, outcome.edit):
        assert (_logits(job) - logits).abs().max() > 0.01


def test_what_is_retained_is_kept_better(job) -> None:
    def kept(name: str) -> float:
        outcome = trained_method(name, epochs=6).unlearn(job)
        with edits.applied(job.model, outcome.edit):
            return _likelihood(job, "retain")

    assert kept("gradient_difference") > kept("gradient_ascent") + 1


def test_rows(job) -> None:
    """Refusals for lack of knowledge stand in for the answers; general rows have the model's own."""
    run = _run(job)
    chat, rows = job.chat, job.rows
    assert run.refused == [chat.encode(row["question"], REFUSALS[1]["answer"]) for row in rows["forget"]]
    assert run.retain[-1] == chat.encode("Which goose?", "The old goose of Mossby.")
    assert len(run.retain) == 3
    job.rows = dict(rows) | {"refusals": REFUSALS[:1]}
    with pytest.raises(LunarError, match="knowledge"):
        trained_method("idk").unlearn(job)
    trained_method("npo", epochs=1).unlearn(job)  # which asks for none


@pytest.mark.parametrize("adapter", [LORA, None], ids=["lora", "full"])
def test_divergence_is_an_error_and_leaves_no_trace(job, monkeypatch: pytest.MonkeyPatch, adapter) -> None:
    before, keys = _weights(job.model), list(dict(job.model.named_modules()))
    method = trained_method("gradient_ascent", adapter=adapter)
    seen = []

    def broken(self, run, rows):
        seen.append(rows)
        loss = torch.cat(run.losses([run.forget[i] for i in rows])).mean()
        return loss * float("nan") if len(seen) == 3 else loss

    monkeypatch.setattr(type(method), "forget_loss", broken)
    with pytest.raises(LunarError, match=r"after 2 updates.*lower learning_rate"):
        method.unlearn(job)
    assert list(dict(job.model.named_modules())) == keys
    assert all(torch.equal(value, before[key]) for key, value in job.model.state_dict().items())
    assert all(parameter.requires_grad for parameter in job.model.parameters())


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("npo", {"beta": None}, r"beta\n +Field required"),
        ("npo", {"beta": 0}, r"beta\n +Input should be greater than 0"),
        ("gradient_ascent", {"learning_rate": None}, r"learning_rate\n +Field required"),
        ("gradient_ascent", {"retain_weight": 1.0}, r"retain_weight\n +Extra inputs are not permitted"),
        ("npo", {"gamma": 1.0}, r"gamma\n +Extra inputs are not permitted"),
        ("rmu", {"layer": 1.5}, r"layer\n +Input should be a valid integer"),
    ],
)
def test_settings_are_those_of_the_formula(name: str, settings: dict, message: str) -> None:
    entry = {"model": "full", "recipe": name} | TRAINER | FORMULAS[name] | settings
    with pytest.raises(ValidationError, match=message):
        METHODS[name]({key: value for key, value in entry.items() if value is not None})


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("npo", {"first_layer": 3}, "model of 3 blocks; change first_layer"),
        ("rmu", {"layer": 3}, "model of 3 blocks"),
        ("rmu", {"first_layer": 2}, "first_layer: 2 is past layer 1"),
    ],
)
def test_blocks_that_are_not_there(job, name: str, settings: dict, message: str) -> None:
    with pytest.raises(LunarError, match=message):
        trained_method(name, **settings).unlearn(job)


def test_frozen_blocks_are_run_once_for_all_settings_of_a_rehearsal(job) -> None:
    """A second training takes up what the first one kept, and gives what it gives by itself."""
    rows: list[int] = []
    handle = blocks(job.model)[0].mlp.register_forward_hook(lambda module, args, output: rows.append(len(output)))
    trained_method("npo").unlearn(job)
    assert sum(rows) == 6  # each conversation once
    found = trained_method("npo", learning_rate=1e-3).unlearn(job).curve
    assert sum(rows) == 6
    handle.remove()
    job.memo = {}
    wanted = trained_method("npo", learning_rate=1e-3).unlearn(job).curve
    assert [row["loss"] for row in found] == pytest.approx([row["loss"] for row in wanted], rel=1e-4)


# The registry.


def test_shipped_entries_hold_what_their_formulas_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    config = deepcopy(CONFIG)
    for experiment in resolve(config, PLUGINS).values():
        # Where nothing is rehearsed, methods with a grid are left out.
        entries = [entry for name, entry in experiment["methods"].items() if name in FORMULAS and "grid" in entry]
        assert bool(entries) == bool(experiment["rehearsal"]["authors"])
        for entry in entries:
            filled = {key: values[0] for key, values in entry["grid"].items()}
            method = METHODS[entry["recipe"]](entry | filled)
            assert method.settings.learning_rate == filled["learning_rate"]
            assert {*method.settings.model_dump()} == {*entry, *filled} - {*ENTRY["method"]}
            assert math.prod(map(len, entry["grid"].values())) <= 3


@pytest.mark.parametrize("name", FORMULAS)
def test_an_edit_of_a_method_reruns_no_other(name: str) -> None:
    modules = imported_modules(ROOT / "scripts/unlearn.py", f"lunar.methods.{name}")
    found = {Path(path).stem for path in modules if Path(path).parent.name == "methods"}
    assert found == {"__init__", "base", "settings", "training", name}
