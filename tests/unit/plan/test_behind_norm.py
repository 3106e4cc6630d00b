"""What `check` says of an experiment on a model with a norm behind ``down_proj``."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from lunar.plan.behind_norm import behind_norm
from lunar.plan.machine import NOTE, STOP
from lunar.plan.user_defaults import resolve
from shipped import CONFIG, PLUGINS

ROOT = Path(__file__).parents[3]


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The toy's, with an attack that reads edits off."""
    monkeypatch.chdir(ROOT)
    found = deepcopy(resolve(CONFIG | {"run": ["toy"]}, PLUGINS)["toy"])
    found["attacked"]["attacks"] += ["invert"]
    return found


def put(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


REFUSED = ["methods lunar-entity, lunar-entity-spread, lunar-entity-refusal", "attacks invert", "requests in sequence"]


def test_a_probed_model_stops_and_a_family_is_a_note(settings: dict[str, Any], tmp_path: Path) -> None:
    arrival = {"what": "arrival in the stream", "found": "4 of 4 blocks: through the RMS norm post_mlp_layernorm"}
    probe = put(tmp_path / "probe.json", [arrival])
    found = behind_norm(settings, probe, [])
    assert [(line.state, line.found.rpartition(": ")[2]) for line in found] == [(STOP, what) for what in REFUSED]
    assert "a norm (post_mlp_layernorm) stands behind down_proj" in found[0].found
    put(tmp_path / "config.json", {"model_type": "gemma3"})
    found = behind_norm(settings, tmp_path / "none", [tmp_path / "absent", tmp_path])
    assert [(line.state, line.found.rpartition(": ")[2]) for line in found] == [(NOTE, what) for what in REFUSED]


def test_nothing_is_said_where_nothing_stands_behind_or_nothing_is_refused(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    put(tmp_path / "config.json", {"model_type": "gemma2"})
    plain = put(tmp_path / "probe.json", [{"what": "arrival in the stream", "found": "4 of 4 blocks: times 0.5"}])
    assert behind_norm(settings, plain, [tmp_path]) == []  # what was measured counts
    assert behind_norm(settings, tmp_path / "none", []) == []  # a Llama of random weights
    settings["compare"], settings["attacked"] = ["vanilla", "lunar"], {"methods": [], "attacks": [], "retain": 1}
    settings["sequential"] = {"methods": ["lunar"], "requests": []}
    assert behind_norm(settings, tmp_path / "none", [tmp_path]) == []


def test_the_names_are_of_plugins() -> None:
    from lunar.plan import behind_norm as module

    assert {*module.RECIPES} == {name for name, one in PLUGINS.methods.items() if one.says.get("replaces_subject")}
    assert {*module.ATTACKS} <= {*PLUGINS.attacks}
