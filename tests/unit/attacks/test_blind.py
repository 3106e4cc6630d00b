"""The estimated direction taken out of activations."""

import pytest

from lunar.attacks.base import Target
from lunar.attacks.blind import Blind
from targets import declared, make, unchanged, weights

BLIND = {"prompts": 3, "tokens": 3, "screened": 2, "every": 1, "most_kl": 1.0}


@pytest.fixture
def target(refusing: Target) -> Target:
    return declared(refusing, "blind")


def test_blind_chooses_by_what_it_sees_and_leaves_the_model(target) -> None:
    before = weights(target)
    found = make("blind", **BLIND).run(target)
    assert unchanged(target, before)
    tried = found.evidence["tried"]
    assert {(one["way"], one["block"]) for one in tried} == {("ablate", 1), ("subtract", 1)}
    assert found.evidence["chosen"] in tried
    assert all(one["kl"] > 0 for one in tried)
    assert make("blind", **BLIND).run(target) == found


def test_blind_prefers_answers_and_small_changes(target, monkeypatch) -> None:
    tried = [
        {"way": "ablate", "block": 1, "bad": 0.5, "kl": 0.1},
        {"way": "subtract", "block": 1, "bad": 0.0, "kl": 9.0},
        {"way": "subtract", "block": 0, "bad": 0.2, "kl": 0.9},
        {"way": "ablate", "block": 0, "bad": 0.2, "kl": 0.8},
    ]
    monkeypatch.setattr(Blind, "screen", lambda self, target, seen: tried)
    assert make("blind", **BLIND).run(target).evidence["chosen"] == tried[3]
    del tried[2:]
    tried[0]["kl"] = 8.0
    assert make("blind", **BLIND).run(target).evidence["chosen"] == tried[1]
