"""What a job reads of its rule's named inputs."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lunar.files import write_json
from lunar.methods.base import Job, job_inputs
from lunar.plan.job_inputs import chosen_values, inputs_named


def test_inputs_named() -> None:
    inputs = {
        "statistics_forget": "a",
        "statistics_retain": "b",
        "direction_forget": "c",
        "statistics": "d",
        "rows": "e",
    }
    assert inputs_named("statistics", inputs) == {"forget": "a", "retain": "b"}
    assert inputs_named("direction", inputs) == {"forget": "c"}
    assert inputs_named("rows", inputs) == {}


def test_inputs_of_a_job_are_read(tmp_path: Path) -> None:
    (tmp_path / "forget.jsonl").write_text('{"id": "a"}\n', encoding="utf-8")
    (tmp_path / "layers.json").write_text('{"best": 2}', encoding="utf-8")
    save_file({"mean.residual.last": torch.ones(2)}, tmp_path / "s.safetensors")
    names = {"rows_forget": "forget.jsonl", "direction_forget": "s.safetensors", "layers": "layers.json"}
    found = job_inputs({key: str(tmp_path / name) for key, name in names.items()})
    assert found["rows"] == {"forget": [{"id": "a"}]}
    assert torch.equal(found["directions"]["forget"].mean("residual", "last"), torch.ones(2))
    assert (found["statistics"], found["chosen"]) == ({}, {"best": 2})
    assert Job("a", **job_inputs({})).chosen == {}


def test_chosen_values_are_those_asked_for(tmp_path: Path) -> None:
    paths = [str(tmp_path / "one.json"), str(tmp_path / "other.json")]
    write_json(paths[0], {"chosen": {"layers": [3], "coefficient": 2.0}, "score": 1.0})
    write_json(paths[1], {"chosen": {"factor": 1.5}, "score": 2.0})
    choices = {"one": ["layers"], "other": ["factor"]}
    assert chosen_values(choices, paths) == {"layers": [3], "factor": 1.5}
    assert chosen_values({}, []) == {}
    with pytest.raises(ValueError, match="zip"):
        chosen_values(choices, paths[:1])
