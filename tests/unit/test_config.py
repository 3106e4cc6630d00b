"""The shipped configuration, and every mistake in one that ``resolve`` is to name."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from lunar.config import SPLITS, imported_modules, merge, resolve, value, write_yaml
from lunar.errors import LunarError

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "scripts"
SHIPPED = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A copy of the shipped configuration, in the folder that its paths are relative to.

    Layers are set here, so that another choice of them in config.yaml fails no test.
    """
    monkeypatch.chdir(ROOT)
    config = deepcopy(SHIPPED)
    config["defaults"]["layers"] |= {"candidates": [12, 14, 16], "top_k": 2}
    config["experiments"]["toy"]["layers"] = {"candidates": [2, 3, 4]}
    return config


def put(config: dict[str, Any], path: str, new: Any) -> None:
    """Set the value at a dotted path."""
    *parents, last = path.split(".")
    for key in parents:
        config = config[key]
    config[last] = new


def test_shipped_configuration_resolves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    config = deepcopy(SHIPPED)
    experiments = resolve(config)
    assert list(experiments) == list(SHIPPED["experiments"])
    assert experiments["authors-smollm2"] == SHIPPED["defaults"] | {"seed": SHIPPED["defaults"]["seeds"][0]}
    assert config == SHIPPED, "resolve changed its argument"


def test_experiment_states_only_what_differs(config: dict[str, Any]) -> None:
    toy = resolve(config)["toy"]
    assert toy["layers"]["candidates"] == [2, 3, 4]
    assert toy["layers"]["top_k"] == 2
    assert toy["layers"]["direction"] == config["defaults"]["layers"]["direction"]
    assert toy["data"]["names"] == config["defaults"]["data"]["names"]
    # A random model has no wheel: nothing of the default model may be left.
    assert toy["model"] == config["experiments"]["toy"]["model"]


@pytest.mark.parametrize(
    ("base", "over", "merged"),
    [
        ({"a": 1, "b": 2}, {"b": 3, "c": 4}, {"a": 1, "b": 3, "c": 4}),
        ({"a": {"x": 1, "y": {"z": 2}}}, {"a": {"y": {"w": 3}}}, {"a": {"x": 1, "y": {"z": 2, "w": 3}}}),
        ({"a": [1, 2, 3]}, {"a": [4]}, {"a": [4]}),
        ({"a": {"x": 1}}, {"a": None}, {"a": None}),
        ({"a": 1}, {"a": {"x": 1}}, {"a": {"x": 1}}),
        ({"a": {"x": 1}}, {}, {"a": {"x": 1}}),
    ],
)
def test_merge(base: dict, over: dict, merged: dict) -> None:
    before = deepcopy((base, over))
    assert merge(base, over) == merged
    assert (base, over) == before


def test_merge_shares_nothing_with_its_arguments() -> None:
    base, over = {"a": {"x": [1]}}, {"b": {"y": [2]}}
    result = merge(base, over)
    result["a"]["x"].append(0)
    result["b"]["y"].append(0)
    assert (base, over) == ({"a": {"x": [1]}}, {"b": {"y": [2]}})


@pytest.mark.parametrize(
    ("path", "new", "message"),
    [
        ("run", ["authors-smolm2"], "run: 'authors-smolm2' is none of .*; did you mean 'authors-smollm2'"),
        ("run", ["toy", "xyz"], "run: 'xyz' is none of authors-smollm2, [^;]*$"),
        ("defaults.compare", ["vanilla", "lunr"], r"compare\[1\]: 'lunr' is none of .*; did you mean 'lunar'"),
        ("defaults.methods.lunar.layers", "bset", r"methods\.lunar\.layers: 'bset' .* did you mean 'best'"),
        ("defaults.methods.lunar.layers", "topk", r"methods\.lunar\.layers: 'topk' .* did you mean 'top_k'"),
        (
            "experiments.toy.methods",
            {"lunar": {"layers": [2, 9]}},
            r"toy\.methods\.lunar\.layers: 9 is none of 2, 3, 4",
        ),
        ("experiments.toy.layers.top_k", 4, r"toy\.layers\.top_k: 4 is more than the 3 candidates"),
        ("defaults.layers.candidates", [12], r"layers\.top_k: 2 is more than the 1 candidates"),
        ("defaults.data.names", "data/none.jsonl", r"data\.names: no file data/none\.jsonl"),
        ("defaults.data.names", "data", r"data\.names: no file data "),
        (
            "experiments.toy.data.retain",
            ["data/toy/finch.jsonl", "data/toy/fnch.jsonl"],
            r"toy\.data\.retain: no file data/toy/fnch\.jsonl",
        ),
        (
            "defaults.methods.new",
            {"model": "full", "layers": "best", "ridge": 1.0, "direction": {}},
            r"methods\.new: a method with layers needs coefficient, redirect, keep too",
        ),
        (
            "experiments.toy.finetune.enabled",
            False,
            r"toy\.compare: 'retain_only' needs .* finetune\.enabled is false; leave it out",
        ),
        (
            "experiments.other",
            {"model": {"version": "0.1.3"}},
            r"experiments\.other\.model\.name: 'smollm2-135m-instruct' is also the model of 'authors-smollm2'",
        ),
    ],
)
def test_mistakes_are_named(config: dict[str, Any], path: str, new: Any, message: str) -> None:
    put(config, path, new)
    with pytest.raises(LunarError, match=message):
        resolve(config)


@pytest.mark.parametrize(
    ("path", "new"),
    [
        ("experiments.toy.layers.top_k", 3),
        ("experiments.toy.methods", {"lunar": {"layers": [2, 4]}}),
        ("experiments.other", None),
        ("experiments.other", {"seeds": [1]}),  # same model, same settings: one folder serves both
        ("experiments.other", {"model": {"name": "other", "version": "0.1.3"}}),
        ("experiments.other", {"finetune": {"enabled": False}, "compare": ["vanilla", "lunar"]}),
    ],
)
def test_near_misses_are_allowed(config: dict[str, Any], path: str, new: Any) -> None:
    put(config, path, new)
    assert set(resolve(config)) == set(config["experiments"])


def test_value_sorts_keys_at_every_depth() -> None:
    settings = {"a": {"z": 1, "b": {"y": 2, "x": [3, 1, 2]}}}
    found = value(settings, ["a"])
    assert found == settings["a"]
    assert list(found) == ["b", "z"] and list(found["b"]) == ["x", "y"]
    assert value(settings, ["a", "b", "x"]) == [3, 1, 2], "the order of a list means something"


def test_value_of_a_missing_key() -> None:
    assert value({"a": {}}, ["a", "b"], missing_ok=True) is None
    with pytest.raises(KeyError):
        value({"a": {}}, ["a", "b"])


def test_imports_are_followed_wherever_they_stand(tmp_path: Path) -> None:
    (tmp_path / "lunar").mkdir()
    files = {
        "script.py": "import os\nfrom lunar import a\n",
        "lunar/a.py": "def late():\n    from lunar.b import thing\n",
        "lunar/b.py": "import lunar.c as c\nfrom lunar.a import late\n",  # a cycle must end
        "lunar/c.py": "import lunarlike\nfrom other.lunar import d\n",
        "lunar/d.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert imported_modules(tmp_path / "script.py") == [str(tmp_path / "lunar" / f"{name}.py") for name in "abc"]


def test_imports_of_the_shipped_scripts() -> None:
    def names(script: str) -> set[str]:
        return {Path(path).stem for path in imported_modules(SCRIPTS / script)}

    # unlearn.py does not name models itself: it comes in through edits.
    assert {"edits", "models", "solve", "steering", "errors"} <= names("unlearn.py")
    # The checks of the data must run where torch is not installed, and not again when the model code changes.
    assert names("prepare_data.py") == {"config", "data", "errors", "files", "progress"}


def test_splits_have_distinct_names() -> None:
    assert len(set(SPLITS)) == len(SPLITS)
    assert set(SHIPPED["defaults"]["splits"]) <= set(SPLITS)


def test_yaml_comes_back_as_written(tmp_path: Path) -> None:
    write_yaml(tmp_path / "config.yaml", SHIPPED)
    again = yaml.safe_load((tmp_path / "config.yaml").read_text(encoding="utf-8"))
    assert again == SHIPPED
    assert list(again["defaults"]) == list(SHIPPED["defaults"])


def test_each_seed_is_an_experiment(config: dict[str, Any]) -> None:
    config["experiments"]["toy"]["seeds"] = [3, 5]
    experiments = resolve(config)
    assert experiments["toy"]["seed"] == 3
    assert experiments["toy@5"] == experiments["toy"] | {"seed": 5}
    assert "toy@3" not in experiments
