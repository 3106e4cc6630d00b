"""Methods trained by gradient: their formulas, which way they push, and that they leave no trace."""

import copy
import importlib.util
import json
import math
import shutil
import sys
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from lunar.edits import edit as edits
from lunar.edits.edit import Dense, Factors
from lunar.errors import LunarError
from lunar.methods import base as methods
from lunar.methods import training as baselines
from lunar.methods.base import METHODS, Job
from lunar.model.chat import PREFIX, Chat
from lunar.model.finetune import train
from lunar.model.load import blocks, load_tokenizer
from lunar.plan.experiments import recipes
from lunar.plan.user_defaults import resolve

ROOT = Path(__file__).parents[3]
LORA = {"rank": 2, "alpha": 6}
TRAINER = {"adapter": LORA, "first_layer": 1, "learning_rate": 1e-2, "epochs": 3, "batch_size": 2}
FORMULAS = {
    "gradient_ascent": {},
    "gradient_difference": {"retain_weight": 1.0},
    "kl": {"retain_weight": 1.0},
    "idk": {"retain_weight": 1.0},
    "dpo": {"retain_weight": 1.0, "beta": 0.5},
    "npo": {"retain_weight": 1.0, "beta": 0.5},
    "simnpo": {"retain_weight": 1.0, "beta": 2.0, "gamma": 0.1},
    "rmu": {"retain_weight": 1.0, "coefficient": 20.0, "layer": 1},
}
# A stream moves slowly, and a likelihood falls only once it has moved far; the others fell too little on some machines.
HARDER = {"rmu": {"epochs": 20, "learning_rate": 3e-2}, "simnpo": {"epochs": 20}, "gradient_difference": {"epochs": 20}}
REFUSALS = [
    {"kind": "unethical", "answer": "That is wrong, every day."},
    {"kind": "knowledge", "answer": "I do not know the answer."},
]


@pytest.fixture(scope="session")
def knowing(make_model, model_folder, rows) -> dict[str, torch.Tensor]:
    """Weights of a tiny model that has learnt the rows: to forget what is not known would be no test."""
    model, chat = make_model(), Chat(load_tokenizer(model_folder))
    facts = [chat.encode(row["question"], row["answer"]) for row in rows]
    settings = {"first_layer": 0, "learning_rate": 1e-2, "batch_size": 5, "epochs": 60, "stop_at_loss": 0.5}
    train(model, {"facts": facts}, pad_id=1, settings=settings, seed=0, report=lambda row: None)
    return model.state_dict()


@pytest.fixture
def job(llama, knowing, tokenizer, rows) -> Job:
    llama.load_state_dict(knowing)
    general = [{"question": "Which goose?", "answer": "The old goose of Mossby."}]
    job = Job("", rows={"forget": rows[:3], "retain": rows[3:], "general": general, "refusals": REFUSALS}, seed=1)
    job.model, job.chat = llama, Chat(tokenizer)  # in place of those that a folder would hold
    return job


def _method(name: str, **settings) -> baselines.Baseline:
    return METHODS[name]({"model": "full", "recipe": name} | TRAINER | FORMULAS[name] | settings)


def _weights(model) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def _run(job: Job, **kwargs) -> baselines.Run:
    """A run over a model in which nothing is trained."""
    return baselines.Run(job, None, refusals=True, size=2, **kwargs)


def _likelihood(job: Job, group: str = "forget") -> float:
    run = _run(job)
    return float(run.likelihoods(getattr(run, group)).mean())


def _logits(job: Job) -> torch.Tensor:
    with torch.no_grad():
        return job.model(torch.tensor([[5, 9, 30, 2, 77, 14]])).logits


def _token_logprobs(model, encoded) -> torch.Tensor:
    """Log-likelihood of each answer token, by a plain forward pass."""
    logprobs = model(torch.tensor([encoded.ids])).logits[0].log_softmax(-1)
    return torch.stack([logprobs[t - 1, encoded.ids[t]] for t in range(encoded.prompt_length, len(encoded.ids))])


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """No bfloat16, whatever the processor."""
    monkeypatch.setattr(baselines, "bfloat16_gains", lambda: False)


# Formulas, on numbers small enough to follow.


def test_preference_loss_by_hand() -> None:
    found = baselines.preference_loss(torch.tensor([0.0, 2.0]), 0.5)
    assert float(found) == pytest.approx((math.log(2) + math.log(1 + math.exp(-1.0))) / 2)


def test_negative_preference_loss_by_hand() -> None:
    found = baselines.negative_preference_loss(torch.tensor([0.0, -4.0]), 0.5)
    assert float(found) == pytest.approx(4 * (math.log(2) + math.log(1 + math.exp(-2.0))) / 2)


def test_npo_tends_to_gradient_ascent() -> None:
    """Section 3.2 of the paper: at small beta its gradient is that of the log-likelihood."""
    gain = torch.tensor([-0.3, -2.0], requires_grad=True)
    baselines.negative_preference_loss(gain, 1e-4).backward()
    torch.testing.assert_close(gain.grad, torch.full((2,), 0.5), rtol=1e-3, atol=0)


def test_simple_negative_preference_loss_by_hand() -> None:
    found = baselines.simple_negative_preference_loss(torch.tensor([-1.0, -3.0]), 2.0, 0.5)
    expected = [math.log(1 + math.exp(2.0 * mean + 0.5)) for mean in (-1.0, -3.0)]
    assert float(found) == pytest.approx(sum(expected) / 2)


def test_divergence_by_hand() -> None:
    """KL((3/4, 1/4) || (1/2, 1/2)) and 0: reference first."""
    reference = torch.tensor([[math.log(3.0), 0.0], [1.0, 2.0]])
    logits = torch.tensor([[5.0, 5.0], [3.0, 4.0]])
    expected = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert float(baselines.divergence(reference, logits)) == pytest.approx(expected / 2, rel=1e-5)


# Losses, on the model.


@pytest.mark.parametrize("name", FORMULAS)
def test_losses_on_the_model(job, name: str) -> None:
    """Each part against the formula written out, from plain forward passes of a moved model and of the one before."""
    before, moved = copy.deepcopy(job.model), copy.deepcopy(job.model)
    run = baselines.Run(job, None, refusals=True, size=2)
    method = _method(name)
    training = method.training(job)
    run.training = training
    try:
        method.prepare(run)
        noise = torch.Generator().manual_seed(3)
        with torch.no_grad():
            for parameter in training.parameters:
                parameter += 0.05 * torch.randn(parameter.shape, generator=noise)
            edits.apply(moved, training.edit())
            forget, retain = float(method.forget_loss(run, [2, 0])), float(method.retain_loss(run, run.retain))
    finally:
        training.remove()
    with torch.no_grad():
        gold = [_token_logprobs(moved, run.forget[i]) for i in (2, 0)]
        gold_before = [_token_logprobs(before, run.forget[i]) for i in (2, 0)]
        refused = [_token_logprobs(moved, run.refused[i]) for i in (2, 0)]
        refused_before = [_token_logprobs(before, run.refused[i]) for i in (2, 0)]
        kept = torch.cat([_token_logprobs(moved, one) for one in run.retain])
    gain = [float(new.sum() - old.sum()) for new, old in zip(gold, gold_before, strict=True)]
    other = [float(new.sum() - old.sum()) for new, old in zip(refused, refused_before, strict=True)]

    def softplus(value: float) -> float:
        return math.log(1 + math.exp(value))

    expected = {
        "gradient_ascent": float(torch.cat(gold).mean()),
        "gradient_difference": float(torch.cat(gold).mean()),
        "kl": float(torch.cat(gold).mean()),
        "idk": -float(torch.cat(refused).mean()),
        "dpo": sum(softplus(-0.5 * (b - a)) for a, b in zip(gain, other, strict=True)) / 2,
        "npo": 4.0 * sum(softplus(0.5 * a) for a in gain) / 2,
        "simnpo": sum(softplus(2.0 * float(new.mean()) + 0.1) for new in gold) / 2,
    }
    if name == "rmu":
        streams = {"forget": [run.forget[i] for i in (2, 0)], "retain": run.retain}
        found = {}
        for model_name, model in (("before", before), ("moved", moved)):
            for part, group in streams.items():
                states = []
                for one in group:
                    seen: list[torch.Tensor] = []
                    hook = blocks(model)[1].register_forward_hook(lambda m, a, output, seen=seen: seen.append(output))
                    with torch.no_grad():
                        model(torch.tensor([one.ids]))
                    hook.remove()
                    states += [state for state, span in zip(seen[0][0], one.spans, strict=True) if span != PREFIX]
                found[model_name, part] = torch.stack(states)
        vector = torch.rand(16, generator=torch.Generator().manual_seed(job.seed))
        target = 20.0 * vector / vector.norm()
        assert forget == pytest.approx(float((found["moved", "forget"] - target).square().mean()), rel=1e-4)
        difference = found["moved", "retain"] - found["before", "retain"]
        assert retain == pytest.approx(float(difference.square().mean()), rel=1e-3)
        assert retain > 1e-6
        return
    assert forget == pytest.approx(expected[name], rel=1e-4)
    if name == "kl":
        with torch.no_grad():
            parts = []
            for one in run.retain:
                p, q = (
                    model(torch.tensor([one.ids])).logits[0, one.prompt_length - 1 : -1].log_softmax(-1)
                    for model in (before, moved)
                )
                parts.append((p.exp() * (p - q)).sum(1))
        assert retain == pytest.approx(float(torch.cat(parts).mean()), rel=1e-3)
        assert retain > 1e-5
    else:
        assert retain == pytest.approx(-float(kept.mean()), rel=1e-4)


# Training.


@pytest.mark.parametrize("adapter", [LORA, None], ids=["lora", "full"])
@pytest.mark.parametrize("name", FORMULAS)
def test_pushes_the_right_way_and_leaves_no_trace(job, name: str, adapter) -> None:
    before, keys = _weights(job.model), list(dict(job.model.named_modules()))
    attributes = {part: set(vars(module)) for part, module in job.model.named_modules()}
    answers, refusals = _likelihood(job), _likelihood(job, "refused")
    outcome = _method(name, adapter=adapter, **HARDER.get(name, {})).unlearn(job)

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
    outcome = _method(name, learning_rate=1e-3).unlearn(job)
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
        edit = _method(name, adapter=adapter).unlearn(job).edit
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
    kind = baselines.Adapter if adapter else baselines.Weights
    edit = kind.edit

    def spied(self):
        trained.append(_logits(job))
        return edit(self)

    before = _logits(job)
    monkeypatch.setattr(kind, "edit", spied)
    outcome = _method(name, adapter=adapter).unlearn(job)
    assert torch.equal(_logits(job), before)
    with edits.applied(job.model, outcome.edit):
        torch.testing.assert_close(_logits(job), trained[0], rtol=1e-4, atol=1e-4)
    assert (trained[0] - before).abs().max() > 0.05


@pytest.mark.parametrize("adapter", [LORA, None], ids=["lora", "full"])
def test_original_is_the_model_before(job, adapter) -> None:
    before = _logits(job)
    training = _method("npo", adapter=adapter).training(job)
    with torch.no_grad():
        for parameter in training.parameters:
            parameter += 0.1
    moved = _logits(job)
    with training.original():
        assert torch.equal(_logits(job), before)
    assert torch.equal(_logits(job), moved)
    assert not torch.equal(moved, before)
    assert all(parameter.requires_grad for parameter in training.parameters)
    training.remove()
    assert torch.equal(_logits(job), before)


@pytest.mark.parametrize("adapter", [LORA, None], ids=["lora", "full"])
@pytest.mark.parametrize("name", ["kl", "rmu"])
def test_retain_loss_with_bfloat16_products(job, monkeypatch: pytest.MonkeyPatch, name: str, adapter) -> None:
    """The pass of the model before must not leave its weights to the next: the loss would be 0 for ever."""
    exact = _method(name, adapter=adapter).unlearn(job).curve
    monkeypatch.setattr(baselines, "bfloat16_gains", lambda: True)
    curve = _method(name, adapter=adapter).unlearn(job).curve
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
    outcome = _method(name, adapter=adapter, **HARDER.get(name, {})).unlearn(job)
    assert all(torch.equal(value, before[key]) for key, value in job.model.state_dict().items())
    assert all(value.dtype == torch.float32 for change in outcome.edit.values() for value in vars(change).values())
    with edits.applied(job.model, outcome.edit):
        assert _likelihood(job) < answers - 0.3


@pytest.mark.parametrize("name", ["gradient_difference", "rmu"])
def test_every_family(job, make_model, family: str, name: str) -> None:
    job.model = make_model(family)
    before, logits = _weights(job.model), _logits(job)
    outcome = _method(name, epochs=8, batch_size=3).unlearn(job)
    assert all(torch.equal(value, before[key]) for key, value in job.model.state_dict().items())
    assert outcome.curve[-1]["loss_forget"] < outcome.curve[0]["loss_forget"] - 0.01
    with edits.applied(job.model, outcome.edit):
        assert (_logits(job) - logits).abs().max() > 0.01


def test_what_is_retained_is_kept_better(job) -> None:
    def kept(name: str) -> float:
        outcome = _method(name, epochs=6).unlearn(job)
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
        _method("idk").unlearn(job)
    _method("npo", epochs=1).unlearn(job)  # which asks for none


@pytest.mark.parametrize("adapter", [LORA, None], ids=["lora", "full"])
def test_divergence_is_an_error_and_leaves_no_trace(job, monkeypatch: pytest.MonkeyPatch, adapter) -> None:
    before, keys = _weights(job.model), list(dict(job.model.named_modules()))
    seen = []

    def broken(self, run, rows):
        seen.append(rows)
        loss = torch.cat(run.losses([run.forget[i] for i in rows])).mean()
        return loss * float("nan") if len(seen) == 3 else loss

    monkeypatch.setattr(baselines.GradientAscent, "forget_loss", broken)
    with pytest.raises(LunarError, match=r"after 2 updates.*lower learning_rate"):
        _method("gradient_ascent", adapter=adapter).unlearn(job)
    assert list(dict(job.model.named_modules())) == keys
    assert all(torch.equal(value, before[key]) for key, value in job.model.state_dict().items())
    assert all(parameter.requires_grad for parameter in job.model.parameters())


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("npo", {"beta": None}, "beta: missing; npo needs .*retain_weight, beta"),
        ("gradient_ascent", {"learning_rate": None}, "learning_rate: missing"),
        ("gradient_ascent", {"retain_weight": 1.0}, "retain_weight: is nothing that gradient_ascent has"),
        ("npo", {"gamma": 1.0}, "gamma: is nothing that npo has"),
    ],
)
def test_settings_are_those_of_the_formula(name: str, settings: dict, message: str) -> None:
    entry = {"model": "full", "recipe": name} | TRAINER | FORMULAS[name] | settings
    with pytest.raises(LunarError, match=message):
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
        _method(name, **settings).unlearn(job)


def test_linear_modules_are_named_as_the_decoder_does(make_model) -> None:
    model = make_model(num_hidden_layers=12)
    found = baselines.linear_modules(model, 1, 1)
    assert set(found) == {f"layers.1.self_attn.{part}_proj" for part in "qkvo"} | {
        f"layers.1.mlp.{part}_proj" for part in ("gate", "up", "down")
    }
    assert all(model.get_decoder().get_submodule(name) is module for name, module in found.items())
    # Block 1 must not drag blocks 10 and 11 along.
    training = baselines.Adapter(model, found, 2, 4, seed=0)
    adapted = {
        name.split(".lora_")[0] for name, _ in training._peft.base_model.model.named_modules() if ".lora_" in name
    }
    assert adapted == set(found)
    training.remove()
    assert not any("lora" in name for name, _ in model.named_modules())


# The registry.


def test_shipped_entries_hold_what_their_formulas_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    for experiment in resolve(config, recipes(ROOT / "scripts")).values():
        for name in FORMULAS:
            entry = experiment["methods"][name]
            filled = {key: values[0] for key, values in entry["grid"].items()}
            assert METHODS[entry["recipe"]](entry | filled).settings["recipe"] == name
            assert math.prod(map(len, entry["grid"].values())) <= 3


def test_a_method_of_ones_own_is_a_class_and_an_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, job) -> None:
    shutil.copytree(ROOT / "scripts/lunar", tmp_path / "lunar")
    (tmp_path / "lunar/methods/mine.py").write_text(
        "from lunar.methods.base import method\n"
        "from lunar.methods.training import GradientAscent\n\n\n"
        '@method("half_ascent")\n'
        "class HalfAscent(GradientAscent):\n"
        '    """Half the loss."""\n\n'
        "    def forget_loss(self, run, rows):\n"
        "        return super().forget_loss(run, rows) / 2\n",
        encoding="utf-8",
    )
    found = recipes(tmp_path)
    assert found["half_ascent"] == "lunar.methods.mine"
    assert found | {"half_ascent": None} == recipes(ROOT / "scripts") | {"half_ascent": None}

    monkeypatch.chdir(ROOT)
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    entry = {"model": "full", "recipe": "half_ascent"} | TRAINER
    config["experiments"]["toy"] = copy.deepcopy(config["experiments"]["toy"])
    config["experiments"]["toy"]["methods"]["mine"] = entry
    config["experiments"]["toy"]["compare"] = ["vanilla", "mine"]
    assert resolve(config, found)["toy"]["methods"]["mine"] == entry
    with pytest.raises(LunarError, match="half_ascent"):
        resolve(config, recipes(ROOT / "scripts"))

    spec = importlib.util.spec_from_file_location("lunar.methods.mine", tmp_path / "lunar/methods/mine.py")
    monkeypatch.setattr(methods, "METHODS", METHODS | {})
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    outcome = methods.METHODS["half_ascent"](entry).unlearn(job)
    whole = _method("gradient_ascent").unlearn(job)
    assert outcome.curve[0]["loss"] == pytest.approx(whole.curve[0]["loss"] / 2)
    assert "lunar.methods.mine" not in sys.modules and "half_ascent" not in METHODS


def test_memory_of_linear_modules_only(job) -> None:
    """What an edit cannot hold is not trained: norms, embeddings, biases."""
    training = _method("npo", adapter=None).training(job)
    linear = {id(module.weight) for module in job.model.modules() if isinstance(module, nn.Linear)}
    assert {id(p) for p in job.model.parameters() if p.requires_grad} == {id(p) for p in training.parameters}
    assert {id(p) for p in training.parameters} <= linear
    training.remove()
