"""Weights trained further: what it does, that it is caught where it does not, and that it leaves no trace."""

import json

import pytest
import torch
from pydantic import ValidationError

from lunar.attacks import relearn as weights
from lunar.attacks.base import Attacked, AttackFailed, Target, rouge1
from lunar.edits.edit import Dense
from targets import declared

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
pytestmark = pytest.mark.usefixtures("no_trace")


@pytest.fixture
def target(knowing: Target) -> Target:
    return declared(knowing, "relearn")


def _relearn(**settings) -> weights.Relearn:
    return weights.Relearn(RELEARN | settings)


def test_halves_share_no_row(target) -> None:
    learnt, asked = _relearn()._rows(target)
    assert [row["id"] for row in learnt] == ["0", "2"] and [row["id"] for row in asked] == ["1", "3"]
    learnt, asked = _relearn(train_on="general")._rows(target)
    assert [row["id"] for row in learnt] == ["4"] and len(asked) == 4


def test_relearn(target, make_larger) -> None:
    """On a model that knows nothing, half of the rows is learnt, and the same run gives the same curve."""
    target.model.load_state_dict(make_larger().state_dict())
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


def test_training_that_teaches_nothing_is_caught(target, make_larger) -> None:
    target.model.load_state_dict(make_larger().state_dict())
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


@pytest.mark.parametrize("steps", [[], [0, 5, 5], [-1]])
def test_points_of_the_curve_are_numbers_of_updates_each_once(steps: list[int]) -> None:
    with pytest.raises(ValidationError):
        _relearn(steps=steps)
