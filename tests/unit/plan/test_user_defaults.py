"""What an experiment on a user's own model or data need not say."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from lunar.errors import LunarError
from lunar.plan.user_defaults import complete, resolve
from shipped import CONFIG, PLUGINS

ROOT = Path(__file__).parents[3]
SHIPPED = deepcopy(CONFIG)
DATA = {"forget": ["data/authors/threlfall.jsonl"], "retain": ["data/authors/ezeobi.jsonl"]}


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The ``model`` section of a folder that says how many blocks it has."""
    monkeypatch.chdir(ROOT)
    (tmp_path / "config.json").write_text(json.dumps({"hidden_size": 64, "num_hidden_layers": 16}), encoding="utf-8")
    return {"name": "my-model", "source": "path", "folder": str(tmp_path), "disk_gb": 4}


def resolved(mine: dict[str, Any]) -> dict[str, Any]:
    return resolve(SHIPPED | {"experiments": {"mine": mine}, "run": ["mine"]}, PLUGINS)["mine"]


def test_two_files_and_a_folder_are_enough(model: dict[str, Any]) -> None:
    mine = resolved({"model": model, "data": DATA, "finetune": {"enabled": False}})
    assert mine["compare"] == ["vanilla", "lunar"]
    assert mine["layers"]["candidates"] == [10, 11, 12, 13, 14]  # 20, 22, 24, 26, 28 of 30
    assert mine["figures"] == {"late_layer": 15, "methods": ["lunar"]}
    assert mine["system_prompt"] is None
    lunar = mine["methods"]["lunar"]
    assert (lunar["layers"], lunar["coefficient"], "grid" in lunar) == ("best", 2.0, False)
    assert (mine["optimisers"], mine["ladder"], mine["attacked"]["attacks"]) == (None, None, [])
    assert (mine["data"]["unseen"], mine["sequential"]["requests"], mine["rehearsal"]["authors"]) == ([], [], [])
    assert mine["data"]["harmful"] == SHIPPED["defaults"]["data"]["harmful"]


def test_fine_tuning_brings_the_model_that_never_knew(model: dict[str, Any]) -> None:
    mine = resolved({"model": model, "data": DATA})
    assert mine["compare"] == ["vanilla", "retain_only", "lunar"]
    assert mine["attacked"]["methods"] == ["retain_only", "lunar"]
    assert mine["finetune"]["first_layer"] == 7  # 14 of 30


def test_what_is_stated_stays(model: dict[str, Any]) -> None:
    stated = {
        "model": model,
        "data": DATA | {"unseen": ["data/authors/minazawa.jsonl"]},
        "layers": {"candidates": [3, 5], "coefficient": 1.5},
        "methods": {"lunar": {"layers": [5]}},
        "system_prompt": "Be brief.",
        "attacked": {"attacks": ["reverse"]},
    }
    mine = resolved(stated)
    assert mine["layers"]["candidates"] == [3, 5]
    assert (mine["methods"]["lunar"]["layers"], mine["methods"]["lunar"]["coefficient"]) == ([5], 1.5)
    assert mine["data"]["unseen"] == ["data/authors/minazawa.jsonl"]
    assert mine["system_prompt"] == "Be brief."
    assert mine["attacked"]["attacks"] == ["reverse"]


def test_one_candidate_is_allowed(model: dict[str, Any]) -> None:
    assert resolved({"model": model, "data": DATA, "layers": {"candidates": [3]}})["layers"]["top_k"] == 1


def test_a_grid_still_needs_somebody_to_choose_on(model: dict[str, Any]) -> None:
    with pytest.raises(LunarError, match=r"methods\.lunar\.grid: nothing to choose on"):
        resolved({"model": model, "data": DATA, "methods": {"lunar": {"grid": {"layers": [[10]]}}}})


@pytest.mark.parametrize("blocks", [1, 2, 4, 80])
def test_any_depth_has_blocks_to_choose_from(model: dict[str, Any], blocks: int) -> None:
    Path(model["folder"], "config.json").write_text(json.dumps({"hidden_size": 8, "num_hidden_layers": blocks}))
    layers = resolved({"model": model, "data": DATA})["layers"]
    assert 1 <= layers["top_k"] <= len(layers["candidates"]) <= 5
    assert 0 <= min(layers["candidates"]) and max(layers["candidates"]) < blocks


def test_the_shipped_experiments_are_complete() -> None:
    before = deepcopy(SHIPPED)
    for over in SHIPPED["experiments"].values():
        assert complete(over or {}, SHIPPED["defaults"]) == (over or {})
    assert before == SHIPPED
