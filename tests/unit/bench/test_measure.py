"""What target `bench` measures, on a tiny random model: all stages."""

from typing import Any

import pytest

from lunar.edits.edit import load

STAGES = [
    "activation pass",
    "Gram sums",
    "solve",
    "steered answers",
    "answers",
    "training, rows cached",
    "training, from prompts",
    "one author forgotten",
]


def test_every_stage_is_there(found: dict[str, Any], how: dict[str, Any], tmp_path: Any) -> None:
    stages = {row["name"]: row for row in found["stages"]}
    assert list(stages) == STAGES
    for row in stages.values():
        assert row["seconds"] > 0 and row["floor"] > 0 and row["peak"] > 10**7 and row["of_floor"] > 0
        assert row["of_floor"] == pytest.approx(row["floor"] / row["seconds"])
        if row["name"] in ("Gram sums", "solve"):
            assert row["ratio"] is row["published_seconds"] is row["published_peak"] is None and not row["published"]
        else:
            assert row["ratio"] == pytest.approx(row["published_seconds"] / row["seconds"])
            assert row["ratio"] > 0 and row["published_peak"] > 10**7 and row["timed"]
    assert stages["activation pass"]["timed"] == "3 of 9 prompts"
    assert stages["steered answers"]["timed"] == "2 of 4 answers"
    assert stages["training, rows cached"]["timed"] == "2 of 20 epochs"
    assert stages["training, from prompts"]["timed"] == "2 of 2700 steps"
    summed = sum(stages[name]["seconds"] for name in ("Gram sums", "solve"))
    assert stages["training, rows cached"]["seconds"] == pytest.approx(summed)
    # What is between the parts is no part of the work, but takes some of the milliseconds that this size takes.
    parts = stages["one author forgotten"]["parts"]
    assert [*parts] == ["directions", "steered answers", "their scores", "sums at the chosen block", "solve and save"]
    assert min(parts.values()) > 0
    assert sum(parts.values()) < stages["one author forgotten"]["seconds"]
    edit = load(tmp_path / "edit.safetensors")
    assert [*edit] in (["layers.0.mlp.down_proj"], ["layers.2.mlp.down_proj"])
    assert next(iter(edit.values())).product().shape == (16, 40)
