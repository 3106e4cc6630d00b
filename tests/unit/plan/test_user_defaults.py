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
    for name, over in SHIPPED["experiments"].items():
        if not name.startswith("openunlearning"):  # which audits models, and leaves to the defaults what it may
            assert complete(PLUGINS, over or {}, SHIPPED["defaults"]) == (over or {})
    assert before == SHIPPED


@pytest.fixture
def audit(model: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """An audit as its page has it: models, two files of questions and answers, and no more."""
    files = {}
    for part, count in (("forget", 4), ("retain", 6)):
        rows = [json.dumps({"question": f"{part} {n}?", "answer": f"Answer {n}."}) + "\n" for n in range(count)]
        (tmp_path / f"{part}.jsonl").write_text("".join(rows), encoding="utf-8")
        files[part] = [str(tmp_path / f"{part}.jsonl")]
    theirs = {"recipe": "checkpoint", "folder": model["folder"]}
    return {"model": model, "data": files, "methods": {"theirs": theirs}}


def test_an_audit_needs_models_and_two_files(audit: dict[str, Any]) -> None:
    mine = resolved(audit)
    assert mine["compare"] == ["vanilla", "theirs"]
    assert mine["attacked"]["methods"] == ["theirs"]
    assert mine["finetune"]["enabled"] is False
    assert (mine["optimisers"], mine["ladder"], mine["figures"]["methods"]) == (None, None, [])
    # All attacks but those whose fields no row has; those that train do so at the depth that the defaults have.
    left_out = set(SHIPPED["defaults"]["attacked"]["attacks"]) - set(mine["attacked"]["attacks"])
    assert left_out == {"paraphrase", "invert"}
    assert mine["attacks"]["relearn-half"]["first_layer"] == 7  # 14 of 30


def test_an_audit_beside_a_method_that_is_made_here(audit: dict[str, Any]) -> None:
    mine = resolved(audit | {"compare": ["vanilla", "theirs", "lunar"]})
    lunar = mine["methods"]["lunar"]
    assert (lunar["layers"], lunar["coefficient"], "grid" in lunar) == ("best", 2.0, False)


def test_an_audit_with_a_model_that_never_knew(audit: dict[str, Any]) -> None:
    audit["methods"]["retain_only"] = {"folder": audit["model"]["folder"]}
    mine = resolved(audit)
    assert mine["compare"] == ["vanilla", "retain_only", "theirs"]
    assert mine["attacked"]["methods"] == ["retain_only", "theirs"]
    assert mine["methods"]["retain_only"] == {"model": "retain_only", "folder": audit["model"]["folder"]}


@pytest.mark.parametrize("name", ["lunar", "npo", "lunar-entity"])
def test_a_model_from_elsewhere_may_have_the_name_of_a_default_method(audit: dict[str, Any], name: str) -> None:
    audit["methods"] = {name: audit["methods"]["theirs"]}
    mine = resolved(audit)
    assert mine["compare"] == ["vanilla", name]
    assert mine["methods"][name] == {"model": "full", "recipe": "checkpoint", "folder": audit["model"]["folder"]}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("retain_only", r"methods\.retain_only\.recipe: retain_only is a control, which has none; leave it out"),
        ("vanilla", r"methods\.vanilla\.recipe: vanilla is the model before itself, so call this one something else"),
    ],
)
def test_a_control_has_no_recipe(audit: dict[str, Any], name: str, said: str) -> None:
    audit["methods"][name] = audit["methods"]["theirs"]
    with pytest.raises(LunarError, match=said) as told:
        resolved(audit)
    assert "listed twice" not in str(told.value)


def test_an_audit_of_models_made_of_the_one_that_is_taught_here(audit: dict[str, Any]) -> None:
    taught = resolved(audit | {"finetune": {"enabled": True}})
    assert (taught["finetune"]["enabled"], taught["compare"]) == (True, ["vanilla", "retain_only", "theirs"])
    own = resolved({"methods": audit["methods"]})  # the default's model and data
    assert (own["finetune"]["enabled"], own["compare"]) == (True, ["vanilla", "retain_only", "theirs"])
    assert {"paraphrase", "invert"} <= set(own["attacked"]["attacks"])


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"recipe": "checkpoint"}, "methods.theirs: names one of folder, adapter, hub, and none is stated"),
        ({"recipe": "checkpoint", "folder": "a", "adapter": "b"}, "folder and adapter are stated"),
        ({"recipe": "checkpoint", "folder": "nowhere"}, r"methods.theirs.folder: no folder nowhere"),
        ({"recipe": "checkpoint", "adapter": "nowhere"}, r"methods.theirs.adapter: no folder nowhere"),
        ({"recipe": "checkpoint", "hub": {"id": "a/b", "revision": "main"}}, "methods.theirs.hub.revision: 'main'"),
        ({"recipe": "checkpoint", "folder": ".", "layers": [3]}, "methods.theirs.layers"),
        ({"recipe": "checkpoint", "folder": ".", "statistics_of": "vanilla"}, "methods.theirs.statistics_of"),
        ({"folder": "."}, "methods.theirs.folder: a model that was unlearned elsewhere has recipe: checkpoint; add"),
    ],
)
def test_what_an_entry_may_not_say(audit: dict[str, Any], entry: dict[str, Any], said: str) -> None:
    audit["methods"]["theirs"] = entry
    with pytest.raises(LunarError, match=said):
        resolved(audit | {"compare": ["vanilla", "theirs"]})
