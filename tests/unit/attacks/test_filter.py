"""One block filtered by activations."""

from contextlib import nullcontext

import pytest

from lunar.attacks import filtering
from lunar.attacks import planted as planting
from lunar.attacks.base import Attacked, AttackFailed, Target
from lunar.attacks.filter import Filter
from lunar.edits.edit import applied
from targets import declared, make, unchanged, weights

FILTER = {"prompts": 3, "ridge": 1.0, "screened": 2, "most_kl": 1.0}


@pytest.fixture
def target(refusing: Target) -> Target:
    return declared(refusing, "filter")


def test_a_filter_is_tried_on_every_block_and_leaves_the_model(target) -> None:
    before = weights(target)
    found = make("filter", **FILTER).run(target)
    assert unchanged(target, before)
    tried = found.evidence["tried"]
    assert [one["block"] for one in tried] == [0, 1, 2]
    assert all(one["kl"] > 0 and one["forget_kl"] > 0 and one["moved"] > one["harmless"] > 0 for one in tried)
    least = [one for one in tried if one["kl"] <= 1.0] or tried
    assert found.evidence["chosen"] == max(least, key=lambda one: one["forget_kl"])


def test_what_is_known_of_an_edit_is_said(target, planted) -> None:
    with applied(target.model, planted):
        target.edit = planted
        evidence = make("filter", **FILTER).run(target).evidence
    assert evidence["edited"] == [1]
    assert [one.get("left", 0) > 0 for one in evidence["tried"]] == [False, True, False]
    assert evidence["tried"][1]["left"] < 1


def test_a_filter_that_is_not_in_place_or_not_taken_out_is_caught(target, monkeypatch) -> None:
    real = filtering.lost
    monkeypatch.setattr(filtering, "lost", lambda *given: 1e-12 * real(*given))
    with pytest.raises(AttackFailed, match="off what it was to be"):
        make("filter", **FILTER).run(target)
    monkeypatch.setattr(filtering, "lost", real)
    monkeypatch.setattr(filtering, "weights_kept", lambda *given: nullcontext())
    with pytest.raises(AttackFailed, match="not put back"):
        make("filter", **FILTER).run(target)


def test_the_control_of_a_filter_wants_the_planted_block(target, planted, monkeypatch) -> None:
    monkeypatch.setattr(planting, "plant", lambda target: planted)
    chosen = {"block": 0, "left": 0.1}
    monkeypatch.setattr(Filter, "run", lambda self, target: Attacked({"forget": []}, {"chosen": chosen}))
    with pytest.raises(AttackFailed, match="block 1 was changed, and block 0 was filtered"):
        make("filter", **FILTER).control(target)
    chosen |= {"block": 1, "left": 0.9}
    with pytest.raises(AttackFailed, match="passed the filter"):
        make("filter", **FILTER).control(target)
