"""A block skipped."""

import pytest

from lunar.attacks import layer_skip
from lunar.attacks.base import AttackFailed, Target
from lunar.model.load import blocks
from targets import declared, make


@pytest.fixture
def target(hooked: Target) -> Target:
    return declared(hooked, "layer_skip")


def test_layer_skip_proof_and_curve(target) -> None:
    found = make("layer_skip", curve={"every": 1, "max_new_tokens": 3}).run(target)
    proof = found.evidence["skipped"]
    assert proof["blocks"] == [2]
    assert proof["batches"] == 3
    assert proof["fired"] == proof["expected"] == 3 + proof["steps"]
    assert [row["x"] for row in found.curve] == [0, 1, 2]
    assert not make("layer_skip").run(target).curve


def test_layer_skip_where_the_last_block_is_edited(target) -> None:
    target.chosen["best"] = 2
    assert make("layer_skip").run(target).evidence["skipped"]["blocks"] == [2]


def test_layer_skip_control(target, monkeypatch) -> None:
    whole = blocks(target.model)
    target.chosen["best"] = 0  # the block left out is between others
    target.generation = {"max_new_tokens": 20, "batch_size": 2}
    assert make("layer_skip").control(target)["same_as_without_the_block"] == 1.0
    target.chosen["best"] = 1
    assert make("layer_skip").control(target)["same_as_without_the_block"] == 1.0
    assert blocks(target.model) is whole
    # Planted: another block is skipped than the one said.
    real = layer_skip.skipping
    monkeypatch.setattr(layer_skip, "skipping", lambda model, skipped: real(model, [0]))
    with pytest.raises(AttackFailed, match="of answers with block 2"):
        make("layer_skip").control(target)
    assert blocks(target.model) is whole
