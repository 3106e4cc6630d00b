"""Tasks for lm-eval; that it is not there is said before it is called."""

from pathlib import Path

import pytest
import yaml

from lunar.errors import LunarError
from lunar.files import read_rows
from lunar.published import harness


def test_tasks_put_questions_as_the_workflow_does(chat, rows, tmp_path: Path) -> None:
    known = [row | {"perturbed_answers": ["No.", "Never."]} for row in rows]
    names = harness.write_tasks(tmp_path, {"retain": known, "general": rows}, chat, 8)
    assert names == ["lunar_retain_said", "lunar_retain", "lunar_general_said"]
    assert {path.stem for path in tmp_path.glob("*.yaml")} == {*names}
    [first, *_] = read_rows(tmp_path / "retain.jsonl")
    assert first["prompt"] == chat.text(rows[0]["question"])
    assert first["choices"][first["right"]] == rows[0]["answer"]
    task = yaml.safe_load((tmp_path / "lunar_retain_said.yaml").read_text(encoding="utf-8"))
    assert task["generation_kwargs"]["until"][0] == "<|im_end|>"


def test_without_lm_eval_the_way_out_is_said(tmp_path: Path) -> None:
    with pytest.raises(LunarError, match=r"there is no .*python; `make .venv-lm-eval/installed` makes it"):
        harness.run(tmp_path / "python", tmp_path, ["lunar_retain"], tmp_path, "cpu", 1)
