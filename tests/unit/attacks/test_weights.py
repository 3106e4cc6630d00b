"""Attacks on the weights: what they do, that they are caught where they do not, and that they leave no trace."""

import json

import pytest
import torch
from torch import nn

from lunar.attacks import amplify, weights
from lunar.attacks.amplify import Amplify
from lunar.attacks.base import Attacked, AttackFailed, Target, rouge1
from lunar.edits.edit import Dense, Factors, apply
from lunar.errors import LunarError
from lunar.model.chat import Chat
from lunar.model.finetune import train
from lunar.model.load import changed_modules, load_tokenizer

REFUSALS = [{"kind": "knowledge", "answer": "I do not know the answer."}]
SIZE = {"hidden_size": 64, "intermediate_size": 128, "head_dim": 32}  # bitsandbytes' 4 bits take multiples of 64
DOWN = "layers.1.mlp.down_proj"
RELEARN = {
    "attack": "relearn",
    "train_on": "forget_half",
    "steps": [0, 5, 40],
    "learning_rate": 1e-2,
    "batch_size": 2,
    "first_layer": 0,
    "adapter": {"rank": 4, "alpha": 8},
}


@pytest.fixture(scope="module")
def knowing(make_model, model_folder, rows) -> dict[str, torch.Tensor]:
    """Weights of a tiny model that has learnt the rows by heart."""
    model, chat = make_model(**SIZE), Chat(load_tokenizer(model_folder))
    facts = [chat.encode(row["question"], row["answer"]) for row in rows]
    settings = {"first_layer": 0, "learning_rate": 1e-2, "batch_size": 5, "epochs": 40, "stop_at_loss": 0.05}
    train(model, {"facts": facts}, pad_id=1, settings=settings, seed=0, report=lambda row: None)
    return model.state_dict()


@pytest.fixture
def target(make_model, knowing, chat, rows) -> Target:
    """The model that knows, nothing unlearnt."""
    named = [row | {"id": str(number)} for number, row in enumerate(rows)]
    general = [named[4]]
    parts = {"forget": named[:4], "retain": named[4:], "general": general, "refusals": REFUSALS}
    found = Target("", rows=parts, best=1, generation={"max_new_tokens": 30, "batch_size": 8}, seed=3)
    found.model, found.chat = make_model(**SIZE), chat
    found.model.load_state_dict(knowing)
    return found


@pytest.fixture(autouse=True)
def no_trace(target):
    """Whatever a test does, the model comes out of it as it went in."""
    state = {name: value.clone() for name, value in target.model.state_dict().items()}
    modules = dict(target.model.named_modules())
    flags = [parameter.requires_grad for parameter in target.model.parameters()]
    yield
    after = target.model.state_dict()
    if not target.edit:
        assert all(torch.equal(value, state[name]) for name, value in after.items())
    assert list(after) == list(state)
    found = dict(target.model.named_modules())
    assert list(found) == list(modules) and all(found[name] is module for name, module in modules.items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in found.values())
    assert flags == [parameter.requires_grad for parameter in target.model.parameters()]


def _quantise(scheme: str = "rtn4", **settings) -> weights.Quantise:
    return weights.Quantise({"attack": "quantise", "scheme": scheme, "group": 16} | settings)


def _relearn(**settings) -> weights.Relearn:
    return weights.Relearn(RELEARN | settings)


def _linear(weight: torch.Tensor) -> nn.Linear:
    found = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    found.weight = nn.Parameter(weight, requires_grad=False)
    return found


# Quantisation.


def test_round_to_nearest_by_hand() -> None:
    weight = torch.tensor([[7.0, 3.4, -0.6, 0.4, 0.0, 0.0, 0.0, 0.0, -1.4, 0.31]])
    expected = torch.tensor([[7.0, 3.0, -1.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.4, 0.4]])
    torch.testing.assert_close(weights.round_to_nearest(weight, 4), expected)


@pytest.mark.parametrize("scheme", weights.SCHEMES)
def test_quantised_module_multiplies_by_the_weight_that_is_measured(scheme: str) -> None:
    noise = torch.Generator().manual_seed(1)
    linear = nn.Linear(64, 32)
    linear.weight = nn.Parameter(torch.randn(32, 64, generator=noise), requires_grad=False)
    linear.bias = nn.Parameter(torch.randn(32, generator=noise), requires_grad=False)
    module = weights.quantised(linear, scheme, 16, torch.float32)
    weight = weights.weight_of(module)
    inputs = torch.randn(5, 64, generator=noise)
    with torch.no_grad():
        expected = nn.functional.linear(inputs, weight, linear.bias)
        # int8 rounds the inputs, too, and 4 bits may be multiplied in bfloat16; outputs are about 8.
        torch.testing.assert_close(module(inputs), expected, rtol=0, atol=0.3)
    assert not torch.equal(weight, linear.weight)


@pytest.mark.parametrize("shape", [(32, 64), (64, 24)])
@pytest.mark.parametrize("scheme", ["nf4", "fp4"])
def test_four_bits_of_bitsandbytes_need_whole_blocks_a_row(scheme: str, shape: tuple[int, int]) -> None:
    with pytest.raises(LunarError, match="no multiples of 32 and 64; use rtn4"):
        weights.quantised(nn.Linear(*shape), scheme, 16, torch.float32)


@pytest.mark.parametrize("scheme", weights.SCHEMES)
def test_quantise(target, scheme: str) -> None:
    edit = {DOWN: Factors(torch.full((64, 1), 2.0), torch.linspace(-1, 1, 128)[:, None])}
    apply(target.model, edit)
    target.edit = edit
    found = _quantise(scheme).run(target)
    evidence = found.evidence
    json.dumps(evidence)
    assert {part: len(rows) for part, rows in found.rows.items()} == {"forget": 4, "retain": 1}
    assert evidence["modules"] == 21 and evidence["calls"] >= 1
    assert evidence["bits_per_weight"] > weights.SCHEMES[scheme].bits
    assert 0.001 < evidence["distance"] < (0.02 if scheme == "int8" else 0.2)
    # Rounding takes nothing from an edit of many steps.
    assert evidence["edit"]["size"] > 1 and evidence["edit"]["survival"] == pytest.approx(1, abs=0.1)
    assert evidence["edit"]["cosine"] > 0.9


def test_edit_below_the_step_is_told(target) -> None:
    """An edit of one entry, a hundredth of a step, on weights that are levels: nothing is left of it."""
    weight = target.model.get_decoder().get_submodule(DOWN).weight
    before = weight.detach().clone()
    with torch.no_grad():
        weight.copy_(weights.round_to_nearest(weight, 16))
        at = int(weight[0, :16].abs().argmin())
        delta = torch.zeros_like(weight)
        delta[0, at] = float(weight[0, :16].abs().max()) / 700
        weight += delta
    target.edit = {DOWN: Dense(delta)}
    attack = _quantise()
    with attack._stand_ins(target) as pairs:
        left = attack._edit_left(target, pairs)
    assert left["survival"] == pytest.approx(0, abs=1e-3) and left["moved"] == 0 and 0 < left["size"] < 0.01
    with torch.no_grad():
        weight.copy_(before)


@pytest.mark.parametrize(
    ("quantiser", "message"),
    [
        (lambda weight: weight.clone(), "has the weights that it had before"),
        (lambda weight: weight + 1e-3 * weight.abs().max(), "different weights in a group"),
        (lambda weight: weights.round_to_nearest(weight, 16) * 1.5, "a weight moved by"),
    ],
)
def test_quantiser_that_does_not_quantise_is_caught(target, monkeypatch, quantiser, message: str) -> None:
    monkeypatch.setattr(weights, "quantised", lambda linear, *_: _linear(quantiser(linear.weight.detach())))
    with pytest.raises(AttackFailed, match=message):
        _quantise().run(target)


def test_finer_rounding_than_the_scheme_says_is_caught(target, monkeypatch) -> None:
    monkeypatch.setitem(weights.SCHEMES, "rtn4", weights.Scheme(4, 15, 1 / 2, 1 / 2))
    with pytest.raises(AttackFailed, match="of what rtn4 is to move them"):
        _quantise().run(target)


def test_module_that_is_never_called_is_caught(target) -> None:
    mlp = target.model.get_decoder().layers[1].mlp
    mlp.forward = torch.zeros_like
    try:
        with pytest.raises(AttackFailed, match="were called 0 to"):
            _quantise().run(target)
    finally:
        del mlp.forward


@pytest.mark.parametrize("scheme", weights.SCHEMES)
def test_control_of_quantise(target, scheme: str, monkeypatch) -> None:
    monkeypatch.setitem(weights.KNOWN, scheme, 0.3)  # a model this small loses more
    found = _quantise(scheme).control(target)
    assert abs(found["vanishing"]["survival"]) < 0.2 < 0.8 < found["surviving"]["survival"]
    assert found["before"] > 0.6


def test_control_catches_a_quantiser_that_keeps_everything(target, monkeypatch) -> None:
    monkeypatch.setattr(weights, "quantised", lambda linear, *_: _linear(linear.weight.detach()))
    with pytest.raises(AttackFailed, match="it should vanish"):
        _quantise().control(target)


def test_control_catches_a_model_that_knows_nothing_any_more(target, monkeypatch) -> None:
    answer = Target.answer

    def silent(self, parts, **options):
        found = answer(self, parts, **options)
        return found if "retain" not in parts else {k: [r | {"prediction": ""} for r in v] for k, v in found.items()}

    monkeypatch.setattr(Target, "answer", silent)
    with pytest.raises(AttackFailed, match=r"fell from .* to 0.000"):
        _quantise().control(target)


# Relearning.


def test_halves_share_no_row(target) -> None:
    learnt, asked = _relearn()._rows(target)
    assert [row["id"] for row in learnt] == ["0", "2"] and [row["id"] for row in asked] == ["1", "3"]
    learnt, asked = _relearn(train_on="general")._rows(target)
    assert [row["id"] for row in learnt] == ["4"] and len(asked) == 4


def test_relearn(target, make_model) -> None:
    """On a model that knows nothing, half of the rows is learnt, and the same run gives the same curve."""
    target.model.load_state_dict(make_model(**SIZE).state_dict())
    target.edit = {DOWN: Dense(torch.zeros(1))}  # says to `no_trace` that weights are not those of the fixture
    before = {name: value.clone() for name, value in target.model.state_dict().items()}
    found = _relearn().run(target)
    assert [row["id"] for row in found.rows["forget"]] == ["1", "3"] and len(found.rows["retain"]) == 1
    assert [row["x"] for row in found.curve] == [0, 5, 40]
    assert found.curve[-1]["loss"] < 0.5 * found.curve[0]["loss"]
    assert found.curve[0]["relearned"] < 0.3 < 0.6 <= found.curve[-1]["relearned"]
    assert found.curve[-1]["forget"] == pytest.approx(rouge1(found.rows["forget"]))
    assert found.evidence["distance"] > 0.01 and found.evidence["updates"] == 40
    json.dumps(found.evidence)
    assert all(torch.equal(value, before[name]) for name, value in target.model.state_dict().items())
    torch.manual_seed(9)
    assert _relearn().run(target).curve == found.curve


def test_weights_that_do_not_move_are_caught(target, monkeypatch) -> None:
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda self: None)
    with pytest.raises(AttackFailed, match="3 updates left the weights as they were"):
        _relearn(steps=[0, 3]).run(target)


def test_training_that_teaches_nothing_is_caught(target, make_model) -> None:
    target.model.load_state_dict(make_model(**SIZE).state_dict())
    target.edit = {DOWN: Dense(torch.zeros(1))}
    with pytest.raises(AttackFailed, match="the loss on rows trained on went from"):
        _relearn(steps=[0, 3], learning_rate=1e-9).run(target)


def test_answers_that_do_not_change_are_caught(target, monkeypatch) -> None:
    def silent(self, parts, **options):
        return {name: [row | {"prediction": ""} for row in rows] for name, rows in parts.items()}

    monkeypatch.setattr(Target, "answer", silent)
    with pytest.raises(AttackFailed, match=r"ROUGE-1 of the rows trained on went from 0\.000 to 0\.000"):
        _relearn().run(target)


def test_control_of_relearn(target, monkeypatch) -> None:
    """What it relearns from is a model that was taught to refuse; what is found decides."""
    weight = target.model.get_decoder().get_submodule(DOWN).weight
    before = weight.detach().clone()
    found = [0.1, 0.9]

    def stub(self, target, points):
        assert points == [0, 40]
        taught.append(not torch.equal(weight, before))
        return Attacked({}, {}, [{"forget": value} for value in found])

    taught: list[bool] = []
    monkeypatch.setattr(weights, "PLANTED", 2)
    monkeypatch.setattr(weights.Relearn, "_relearn", stub)
    assert _relearn().control(target) == {"before": 0.1, "after": 0.9}
    found[1] = 0.2
    with pytest.raises(AttackFailed, match="it should have come back"):
        _relearn().control(target)
    found[:] = [0.9, 0.8]
    _relearn(train_on="general").control(target)
    found[1] = 0.3
    with pytest.raises(AttackFailed, match="of it should have stayed"):
        _relearn(train_on="general").control(target)
    assert taught == [True, True, False, False]


# --- What is left made larger


@pytest.fixture
def trained(target, make_model) -> Target:
    """The model that knows, with the random one that it was trained from; embeddings are left as they came out."""
    target.__dict__["model_before"] = make_model(**SIZE)
    return target


def test_distances_are_scaled(trained, monkeypatch) -> None:
    pairs = changed_modules(trained.model, trained.model_before)
    assert len(pairs) == 3 * 7 and DOWN in pairs
    one, other = next(iter(pairs.values()))
    expected = other.weight + 3.0 * (one.weight - other.weight)
    seen = []
    real = trained.answer
    monkeypatch.setattr(trained, "answer", lambda parts: seen.append(one.weight.clone()) or real(parts))
    found = Amplify({"scale": 3.0}).run(trained)
    torch.testing.assert_close(seen[-1], expected)
    assert (
        found.evidence["modules"] == 21 and found.evidence["scale"] == pytest.approx(3.0) and found.evidence["kl"] > 0
    )


def test_what_was_made_smaller_comes_back(trained) -> None:
    """An edit that leaves a quarter of what was learned, undone by an attacker who makes that four times as much."""
    for name, (one, other) in changed_modules(trained.model, trained.model_before).items():
        trained.edit[name] = Dense((other.weight - one.weight).detach() * 0.75)
    apply(trained.model, trained.edit)
    left = rouge1(trained.answer({"forget": trained.rows["forget"]})["forget"])
    found = rouge1(Amplify({"scale": 4.0}).run(trained).rows["forget"])
    assert left < 0.7 < 0.9 < found


def test_control_of_amplifying(trained, monkeypatch) -> None:
    facts = Amplify({"scale": 2.5}).control(trained)
    assert facts["planted"] < 0.8 * facts["known"] < facts["attacked"]
    with pytest.raises(AttackFailed, match="what was made smaller was to come back"):
        Amplify({"scale": 1.0001}).control(trained)
    monkeypatch.setattr(amplify, "PLANTED", 0.99)
    with pytest.raises(AttackFailed, match="the model was to know less"):
        Amplify({"scale": 2.5}).control(trained)


def test_amplifying_needs_a_model_from_before(target, make_model) -> None:
    with pytest.raises(AttackFailed, match="no model from before fine-tuning"):
        Amplify({"scale": 2.0}).run(target)
    target.__dict__["model_before"] = target.model
    with pytest.raises(AttackFailed, match="no linear module differs"):
        Amplify({"scale": 2.0}).run(target)
