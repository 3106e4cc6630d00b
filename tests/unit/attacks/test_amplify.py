"""What is left of fine-tuning made larger: it comes back, failures are told, and no trace is left."""

import pytest
import torch

from lunar.attacks import amplify
from lunar.attacks.amplify import Amplify
from lunar.attacks.base import AttackFailed, Target, rouge1
from lunar.edits.edit import Dense, apply
from lunar.model.load import changed_modules
from targets import declared

DOWN = "layers.1.mlp.down_proj"
pytestmark = pytest.mark.usefixtures("no_trace")


@pytest.fixture
def target(knowing: Target) -> Target:
    return declared(knowing, "amplify")


@pytest.fixture
def trained(target, make_larger) -> Target:
    """The model that knows, with the random one that it was trained from; embeddings are left as they came out."""
    target.__dict__["model_before"] = make_larger()
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
    monkeypatch.setattr(amplify, "PLANTED", 0.2)  # at twice as much so small a model may know all of it
    facts = Amplify({"scale": 5.0}).control(trained)
    assert facts["planted"] < 0.8 * facts["known"] < facts["attacked"]
    with pytest.raises(AttackFailed, match="what was made smaller was to come back"):
        Amplify({"scale": 1.0001}).control(trained)
    monkeypatch.setattr(amplify, "PLANTED", 0.99)
    with pytest.raises(AttackFailed, match="the model was to know less"):
        Amplify({"scale": 5.0}).control(trained)


def test_amplifying_needs_a_model_from_before(target, make_larger) -> None:
    with pytest.raises(AttackFailed, match="no model from before fine-tuning"):
        Amplify({"scale": 2.0}).run(target)
    target.__dict__["model_before"] = target.model
    with pytest.raises(AttackFailed, match="no linear module differs"):
        Amplify({"scale": 2.0}).run(target)
