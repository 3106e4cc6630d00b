"""The shipped configuration, and every mistake in one that ``resolve`` is to name."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from lunar.errors import LunarError
from lunar.plan import experiments as settings
from lunar.plan import user_defaults as own
from lunar.plan.experiments import (
    asides,
    climb,
    merge,
    override,
    rungs,
    settle,
    value,
    with_files,
    write_yaml,
)
from shipped import CONFIG, PLUGINS

ROOT = Path(__file__).parents[3]
SHIPPED = deepcopy(CONFIG)
# A whole entry of a method, settled.
SOLVED = {
    "model": "full",
    "recipe": "redirection",
    "layers": [12],
    "coefficient": 2.0,
    "direction": {"site": "residual", "tokens": "last", "reference": "fictitious"},
    "redirect": ["question"],
    "keep": {"retain": {"question": 1}},
    "ridge": 1.0e-3,
}
ENTITY = {"model": "full", "recipe": "entity", "blocks": [3], "factor": 2.0, "ridge": 1.0e-3}
GRID = {"layers": [[12], [14, 16], "best"], "coefficient": [1.0, 2.0]}


def resolve(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return settings.resolve(config, PLUGINS)


def without(entry: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key not in keys}


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A copy of the shipped configuration, in the folder that its paths are relative to.

    Layers and edits are set here, so that another choice of them in config.yaml fails no test.
    """
    monkeypatch.chdir(ROOT)
    config = deepcopy(SHIPPED)
    defaults = config["defaults"]
    defaults["layers"] |= {"candidates": [12, 14, 16], "top_k": 2}
    defaults["methods"] = {
        "vanilla": {"model": "full"},
        "retain_only": {"model": "retain_only"},
        "lunar": without(SOLVED, *GRID) | {"grid": deepcopy(GRID)},
    }
    defaults |= {
        "compare": ["vanilla", "retain_only", "lunar"],
        "ladder": None,
        "optimisers": None,
        "prompts": {"qa": "Q: {question} A:"},
    }
    defaults["attacked"] |= {"methods": ["lunar"], "attacks": ["reverse"]}
    defaults["figures"]["methods"] = defaults["sequential"]["methods"] = ["lunar"]
    toy = {name: config["experiments"]["toy"][name] for name in ("model", "data", "rehearsal", "sequential")}
    toy["model"]["size"]["num_hidden_layers"] = 40  # of the defaults
    toy |= {"layers": {"candidates": [2, 3, 4]}, "methods": {"lunar": {"grid": {"layers": [[2], [3, 4]]}}}}
    config["experiments"] = {"authors-smollm2": {}, "toy": toy}
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
    experiments = own.resolve(config, PLUGINS)
    assert {name.partition("@")[0] for name in experiments} == set(SHIPPED["experiments"])
    default = experiments["authors-smollm2"]
    stated = merge(SHIPPED["defaults"], SHIPPED["experiments"]["authors-smollm2"])
    added = {*rungs(default).values(), *asides(default).values()} if default["ladder"] else set()
    methods = {name: entry for name, entry in default["methods"].items() if name in stated["methods"]}
    assert default | {"methods": methods} == stated | {"seed": stated["seeds"][0]}
    assert set(default["methods"]) == set(stated["methods"]) | added
    assert config == SHIPPED, "resolve changed its argument"


def test_experiment_states_only_what_differs(config: dict[str, Any]) -> None:
    toy = resolve(config)["toy"]
    assert toy["layers"]["candidates"] == [2, 3, 4]
    assert toy["layers"]["top_k"] == 2
    assert toy["methods"]["lunar"]["grid"] == {"layers": [[2], [3, 4]], "coefficient": [1.0, 2.0]}
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
        ("run", ["toy", "xyz"], r"run\[1\]: 'xyz' is none of authors-smollm2, [^;]*$"),
        ("defaults.compare", ["vanilla", "lunr"], r"compare\[1\]: 'lunr' is none of .*; did you mean 'lunar'"),
        ("experiments.toy.layers.top_k", 4, r"toy\.layers\.top_k: 4 is more than the 3 candidates"),
        ("defaults.layers.top_k", 4, r"layers\.top_k: 4 is more than the 3 candidates"),
        ("defaults.data.names", "data/none.jsonl", r"data\.names: no file data/none\.jsonl"),
        ("defaults.data.names", "data", r"data\.names: no file data, but a folder that `datasets` did not save"),
        (
            "experiments.toy.data.retain",
            ["data/toy/finch.jsonl", "data/toy/fnch.jsonl"],
            r"toy\.data\.retain: no file data/toy/fnch\.jsonl",
        ),
        ("defaults.methods.vanilla", SOLVED, r"methods\.vanilla: must be there, with a model and no edit"),
        ("defaults.figures.methods", ["lunr"], r"figures\.methods\[0\]: 'lunr' is none of lunar; did you mean 'lunar'"),
        ("defaults.figures.methods", ["lunar", "vanilla"], r"figures\.methods\[1\]: 'vanilla' is none of lunar"),
        (
            "experiments.toy.rehearsal.authors",
            [{"forget": "data/toy/rook.jsonl", "held_out": "data/toy/wren.jsonl"}],
            r"toy\.rehearsal\.authors\[0\]\.forget: 'data/toy/rook\.jsonl' is none of data/toy/finch\.jsonl, ",
        ),
        (
            "experiments.toy.rehearsal.authors",
            [
                {"forget": "data/toy/finch.jsonl", "held_out": "data/toy/wren.jsonl"},
                {"forget": "data/toy/finch.jsonl", "held_out": "data/toy/stork.jsonl"},
            ],
            r"toy\.rehearsal\.authors\[1\]\.held_out: 'data/toy/stork\.jsonl' is none of ",
        ),
        (
            "experiments.toy.rehearsal.authors",
            [{"forget": "data/toy/wren.jsonl", "held_out": "data/toy/wren.jsonl"}],
            r"toy\.rehearsal\.authors\[0\]: forgets and holds out the same file; name two of data\.retain",
        ),
        (
            "experiments.toy.data.retain",
            ["data/toy/finch.jsonl", "data/toy/wren.jsonl"],
            r"toy\.rehearsal\.authors\[0\]: leaves no author to retain; add a third file to data\.retain",
        ),
        (
            "experiments.toy.finetune",
            {"enabled": False},
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
        ("experiments.toy.methods", {"lunar": {"grid": {"layers": [[2, 4], "top_k"]}}}),
        ("defaults.figures.methods", []),
        ("experiments.other", None),
        ("experiments.other", {"seeds": [1]}),  # same model, same settings: one folder serves both
        ("experiments.other", {"model": {"name": "other", "version": "0.1.3"}}),
        ("experiments.other", {"finetune": {"enabled": False}, "compare": ["vanilla", "lunar"]}),
        # Nothing is chosen, so nobody has to play.
        (
            "experiments.other",
            {"rehearsal": {"authors": []}, "methods": {"lunar": {"layers": "best", "coefficient": 1.0}}},
        ),
    ],
)
def test_near_misses_are_allowed(config: dict[str, Any], path: str, new: Any) -> None:
    put(config, path, new)
    assert set(resolve(config)) == set(config["experiments"])


METHOD_MISTAKES = {
    "prompt": (SOLVED | {"prompt": "qaa"}, r"new\.prompt: 'qaa' is none of qa; did you mean 'qa'\?"),
    "recipe": (SOLVED | {"recipe": "redirect"}, r"new\.recipe: 'redirect' is none of .*did you mean 'redirection'\?"),
    "no recipe": (
        {"model": "full", "prompt": "qa", "ridge": 1.0, "coefficient": 2.0},
        r"new\.(coefficient|ridge): no such key",
    ),
    "base with a recipe": (
        SOLVED | {"statistics_of": "lunar"},
        r"new\.statistics_of: 'lunar' is none of vanilla, retain_only$",
    ),
    "base": (
        SOLVED | {"statistics_of": "vanila"},
        r"new\.statistics_of: 'vanila' is none of .*; did you mean 'vanilla'\?",
    ),
    "stated and in the grid": (
        SOLVED | {"grid": {"ridge": [1.0e-3, 1.0e-2]}},
        r"new\.grid\.ridge: also stated as .*methods\.new\.ridge; leave one of them",
    ),
    "a grid of what rehearsals are given": (
        without(SOLVED, "keep") | {"grid": {"keep": [SOLVED["keep"]]}},
        r"new\.grid\.keep: says what rehearsals are given; state it as .*methods\.new\.keep instead",
    ),
    "a grid of which statistics to read": (
        without(SOLVED, "short_names") | {"grid": {"short_names": [False, True]}},
        r"new\.grid\.short_names: says what rehearsals are given; state it as .*methods\.new\.short_names instead",
    ),
    "choices of no method": (
        without(SOLVED, "layers") | {"choices": {"lunr": ["layers"]}},
        r"new\.choices: 'lunr' is none of .*; did you mean 'lunar'\?",
    ),
    "choices of no key": (
        without(SOLVED, "ridge") | {"choices": {"lunar": ["ridge"]}},
        r"new\.choices\.lunar: 'ridge' is none of layers, coefficient$",
    ),
    "choices of a method without a grid": (
        without(SOLVED, "layers") | {"choices": {"vanilla": ["layers"]}},
        r"new\.choices\.vanilla: 'layers' is not known: there is none yet",
    ),
    "stated and in choices": (
        SOLVED | {"choices": {"lunar": ["layers"]}},
        r"new\.choices\.lunar\.layers: also stated as .*methods\.new\.layers; leave one of them",
    ),
    "grid and choices": (
        without(SOLVED, "layers") | {"grid": {"layers": [[12]]}, "choices": {"lunar": ["layers"]}},
        r"new\.choices\.lunar\.layers: also stated as .*methods\.new\.grid\.layers; leave one of them",
    ),
    "a key is missing": (without(SOLVED, "keep"), r"new\.keep: missing; Spans that are kept"),
    "a key that no recipe has": (SOLVED | {"rigde": 1.0}, r"new\.rigde: no such key; did you mean 'ridge'\?; its keys"),
    "a key of another recipe": (SOLVED | {"blocks": [3]}, r"new\.blocks: no such key; .*its keys are"),
    "a value of another kind": (SOLVED | {"ridge": "0.1"}, r"new\.ridge: '0\.1' is not allowed.* allowed is number"),
    "a value that is too small": (SOLVED | {"ridge": 0.0}, r"new\.ridge: 0\.0 is not allowed; allowed is number, > 0"),
    "a value of the grid": (
        without(SOLVED, "ridge") | {"grid": {"ridge": [1.0, -1.0]}},
        r"new\.grid\.ridge\[1\]: -1\.0 is not allowed; allowed is number, > 0",
    ),
    "a site": (
        SOLVED | {"direction": SOLVED["direction"] | {"site": "residul"}},
        r"new\.direction\.site: 'residul' is not allowed; did you mean 'residual'\?",
    ),
    "a span": (
        SOLVED | {"keep": {"retain": {"questions": 1}}},
        r"new\.keep\.retain\.questions: no such key; did you mean 'question'",
    ),
    "layers": (SOLVED | {"layers": "bset"}, r"new\.layers: 'bset' .*did you mean 'best'\?"),
    "top_k": (SOLVED | {"layers": "topk"}, r"new\.layers: 'topk' .*did you mean 'top_k'\?"),
    "layer": (SOLVED | {"layers": [12, 13]}, r"new\.layers: 13 is none of layers.candidates \(12, 14, 16\)$"),
    "layer in the grid": (
        without(SOLVED, "layers") | {"grid": {"layers": [[12], [14, 9]]}},
        r"new\.grid\.layers\[1\]: 9 is none of layers.candidates \(12, 14, 16\)$",
    ),
    "word in the grid": (
        without(SOLVED, "layers") | {"grid": {"layers": ["best", "topk"]}},
        r"new\.grid\.layers\[1\]: 'topk' .*did you mean 'top_k'\?",
    ),
    "declined without a redirection": (
        ENTITY | {"keep": {"declined": {"answer": 1}}},
        r"new\.keep\.declined: no such key; its keys are forget, retain, general, renamed",
    ),
    "reversion without": (
        {"model": "full", "recipe": "reversion", "ridge": 1.0e-3},
        r"new\.keep: missing; Spans that are kept",
    ),
    "refused prompts of another recipe": (
        SOLVED | {"keep": {"harmful": {"answer": 1}}},
        r"new\.keep\.harmful: no such key; its keys are forget, retain",
    ),
    "a grid that is no mapping": (SOLVED | {"grid": 5}, r"new\.grid: 5 is not allowed; allowed is mapping or null"),
    "a grid that is a list": (SOLVED | {"grid": [1]}, r"new\.grid: \[1\] is not allowed; allowed is mapping or null"),
    "a grid of no list": (SOLVED | {"grid": {"beta": 5}}, r"new\.grid\.beta: 5 is not allowed; allowed is list"),
    "a grid of nothing": (SOLVED | {"grid": {"beta": []}}, r"new\.grid\.beta: \[\] is not allowed; .*not empty"),
    "choices that are no mapping": (SOLVED | {"choices": 5}, r"new\.choices: 5 is not allowed; allowed is mapping"),
    "statistics of a list": (SOLVED | {"statistics_of": ["x"]}, r"new\.statistics_of: \['x'\] is not allowed; .*text"),
    "a recipe that is a list": (SOLVED | {"recipe": ["x"]}, r"new\.recipe: \['x'\] is not allowed; .*text"),
    "grid of single blocks": (
        without(SOLVED, "layers") | {"grid": {"layers": [12, 14]}},
        r"new\.grid\.layers\[0\]: 12 is not allowed; allowed is best, top_k, list of whole number",
    ),
}


@pytest.mark.parametrize(("entry", "message"), METHOD_MISTAKES.values(), ids=METHOD_MISTAKES)
def test_mistakes_in_a_method_are_named(config: dict[str, Any], entry: dict[str, Any], message: str) -> None:
    config["experiments"] = {"authors-smollm2": {"methods": {"new": entry}}}
    with pytest.raises(LunarError, match=rf"^experiments\.authors-smollm2\.methods\.{message}"):
        resolve(config)


def test_what_statistics_are_read_is_not_chosen_by_another(config: dict[str, Any]) -> None:
    """A recipe that is given rows may try it; planning one that is given statistics takes it from its own entry."""
    tries = ENTITY | {"keep": {"retain": {"question": 1}}, "grid": {"short_names": [False, True]}}
    chosen = SOLVED | {"choices": {"tries": ["short_names"]}}
    config["experiments"] = {"authors-smollm2": {"methods": {"tries": tries, "new": chosen}}}
    message = r"new\.choices\.tries\.short_names: says what jobs are given; state it as .*methods\.new\.short_names"
    with pytest.raises(LunarError, match=message):
        resolve(config)
    del config["experiments"]["authors-smollm2"]["methods"]["new"]
    resolve(config)


@pytest.mark.parametrize(
    ("logs", "message"),
    [
        ({"lunr": "README.md"}, r"evaluation_logs: 'lunr' is none of .*; did you mean 'lunar'\?"),
        ({"lunar": "no/such.json"}, r"evaluation_logs\.lunar: no file no/such\.json"),
        ({"lunar": 3}, r"evaluation_logs\.lunar: 3 is not allowed"),
    ],
)
def test_logs_are_files_of_compared_methods(config: dict[str, Any], logs: dict[str, Any], message: str) -> None:
    config["experiments"] = {"authors-smollm2": {"evaluation_logs": {"lunar": "README.md"}}}
    assert resolve(config)["authors-smollm2"]["evaluation_logs"] == {"lunar": "README.md"}
    config["experiments"]["authors-smollm2"]["evaluation_logs"] = logs
    with pytest.raises(LunarError, match=rf"^experiments\.authors-smollm2\.{message}"):
        resolve(config)


def test_what_goes_back_needs_a_model_to_go_back_to(config: dict[str, Any]) -> None:
    config["defaults"]["methods"]["back"] = {"model": "full"} | {
        "recipe": "reversion", "threshold": 2.0, "keep": {"harmful": {"answer": 1}}, "ridge": 1.0e-3
    }  # fmt: skip
    config["experiments"]["toy"]["compare"] = ["vanilla", "back"]
    assert resolve(config)["toy"]["methods"]["back"]["threshold"] == 2.0
    config["experiments"]["toy"]["finetune"] = {"enabled": False}
    message = (
        r"toy\.compare: 'back' needs a model from before fine-tuning, but finetune\.enabled is false; leave it out"
    )
    with pytest.raises(LunarError, match=message):
        resolve(config)


def test_choices_in_a_circle_are_refused(config: dict[str, Any]) -> None:
    rest = without(SOLVED, "layers", "coefficient")
    config["defaults"]["methods"] |= {
        "a": rest | {"grid": {"layers": [[12]]}, "choices": {"b": ["coefficient"]}},
        "b": rest | {"grid": {"coefficient": [1.0]}, "choices": {"a": ["layers"]}},
    }
    circle = r"methods\.(a|b)\.choices: goes in a circle \((a from b from a|b from a from b)\); state the values"
    with pytest.raises(LunarError, match=circle):
        resolve(config)


def test_a_ladder_without_a_rung_is_refused(config: dict[str, Any]) -> None:
    config["experiments"]["toy"]["ladder"] = {"from": "vanilla", "to": "lunar", "rungs": {"one": None}}
    with pytest.raises(LunarError, match=r"toy\.ladder\.rungs: all are null; state one, or set the ladder to null"):
        resolve(config)


def test_race_needs_a_method_whose_settings_are_stated(config: dict[str, Any]) -> None:
    adamw = {"optimiser": "adamw", "learning_rate": 0.01, "batch_size": 8, "epochs": 6, "schedule": "constant"}
    race = {"method": "stated", "solvers": {"adamw": adamw}, "uncached": {"epochs": 3, "steps": 2}}
    config["experiments"] = {"authors-smollm2": {"optimisers": race, "methods": {"stated": deepcopy(SOLVED)}}}
    resolve(config)
    for name in ("vanilla", "lunar"):
        race["method"] = name
        with pytest.raises(LunarError, match=rf"optimisers\.method: '{name}' is none of stated"):
            resolve(config)
    race["solvers"]["sgd"] = adamw | {"optimiser": "sgd"}
    with pytest.raises(LunarError, match=r"optimisers\.solvers\.sgd\.momentum: missing; sgd with schedule"):
        resolve(config)


def test_a_grid_needs_somebody_to_choose_on(config: dict[str, Any]) -> None:
    config["defaults"]["rehearsal"]["authors"] = []
    with pytest.raises(
        LunarError, match=r"methods\.lunar\.grid: nothing to choose on; name rehearsal\.authors, or state"
    ):
        resolve(config)


@pytest.mark.parametrize(
    "entry",
    [
        SOLVED,
        SOLVED | {"layers": "top_k", "statistics_of": "retain_only", "prompt": "qa"},
        without(SOLVED, "ridge") | {"grid": {"ridge": [0.1, 1.0]}},
        without(SOLVED, "layers", "coefficient") | {"choices": {"lunar": ["layers", "coefficient"]}},
        {"model": "full", "prompt": "qa"},  # a reference under another prompt
    ],
)
def test_methods_that_are_allowed(config: dict[str, Any], entry: dict[str, Any]) -> None:
    config["experiments"] = {"authors-smollm2": {"methods": {"new": deepcopy(entry)}}}
    assert resolve(config)["authors-smollm2"]["methods"]["new"] == entry


@pytest.mark.parametrize(
    ("base", "change", "expected"),
    [
        ({"a": 1, "b": 2}, {"b": None}, {"a": 1}),
        ({"a": {"x": 1, "y": 2}}, {"a": {"x": None}}, {"a": {"y": 2}}),
        ({"a": {"x": 1}}, {"a": None, "b": {"z": None, "w": 0}}, {"b": {"w": 0}}),
        ({"a": None, "b": {"x": None}}, {"b": {"y": 1}}, {"a": None, "b": {"x": None, "y": 1}}),  # a null that stays
        ({"a": 1}, {"a": {"x": 2, "y": None}}, {"a": {"x": 2}}),
        ({"a": 1}, {"missing": None}, {"a": 1}),
        ({"a": [1, None]}, {"b": [None]}, {"a": [1, None], "b": [None]}),  # in a list, null is a value
        ({"a": 0, "b": False}, {"c": ""}, {"a": 0, "b": False, "c": ""}),
    ],
)
def test_override(base: dict, change: dict, expected: dict) -> None:
    before = deepcopy((base, change))
    assert override(base, change) == expected
    assert (base, change) == before


@pytest.mark.parametrize(
    ("method", "change", "expected"),
    [
        ({"a": 1, "grid": {"b": [2]}}, {"grid": {"b": [2]}}, {"a": 1, "grid": {"b": [2]}}),
        ({"a": 1, "b": 2, "grid": {"b": [2], "c": [3]}}, {"b": 2}, {"a": 1, "b": 2, "grid": {"c": [3]}}),
        ({"b": 2, "grid": {"b": [2]}}, {"b": 2}, {"b": 2}),
        ({"a": 1, "grid": {"a": [2], "b": [2]}}, {"grid": {"a": [2]}}, {"grid": {"a": [2], "b": [2]}}),
        # Stated and given a grid in one breath is a mistake, and stays one for the check to name.
        ({"a": 1, "grid": {"a": [2]}}, {"a": 1, "grid": {"a": [2]}}, {"a": 1, "grid": {"a": [2]}}),
        ({"a": 1}, {"a": 1}, {"a": 1}),
        ({"a": None, "statistics_of": None, "choices": None, "recipe": None, "grid": None}, {}, {"a": None}),
    ],
)
def test_settle(method: dict, change: dict, expected: dict) -> None:
    assert settle(method, change) == expected


def test_an_experiment_settles_what_the_defaults_choose(config: dict[str, Any]) -> None:
    config["experiments"]["toy"]["methods"]["lunar"] = {"layers": [2], "grid": {"ridge": [0.1, 1.0]}}
    found = resolve(config)["toy"]["methods"]["lunar"]
    assert found["layers"] == [2] and found["grid"] == {"coefficient": [1.0, 2.0], "ridge": [0.1, 1.0]}
    assert "ridge" not in found


# --- The ladder

FOOT = SOLVED | {"coefficient": 1.0, "redirect": ["mean"], "prompt": "qa", "direction": SOLVED["direction"]}
LADDER = {
    "from": "foot",
    "to": "lunar",
    "rungs": {
        "template": {"prompt": None},
        "spans": {"redirect": ["question"]},
        "choice": {"layers": None, "coefficient": None, "choices": {"lunar": ["layers", "coefficient"]}},
    },
    "asides": {"ridge": {"ridge": 0.1}, "site": {"direction": {"site": "down_proj"}}},
}


@pytest.fixture
def ladder(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration with a ladder from a method ``foot`` to ``lunar``."""
    config["experiments"] = {"authors-smollm2": {"ladder": deepcopy(LADDER), "methods": {"foot": deepcopy(FOOT)}}}
    return config


def test_rungs_are_laid_one_on_another(ladder: dict[str, Any]) -> None:
    before = deepcopy(ladder)
    experiment = resolve(ladder)["authors-smollm2"]
    assert list(rungs(experiment).items()) == [
        ("start", "foot"),
        ("template", "ladder-template"),
        ("spans", "ladder-spans"),
        ("choice", "lunar"),
    ]
    assert asides(experiment) == {"ridge": "ladder-ridge", "site": "ladder-site"}
    methods = experiment["methods"]
    assert set(methods) == {
        *("vanilla", "retain_only", "lunar", "foot"),
        *("ladder-template", "ladder-spans", "ladder-ridge", "ladder-site"),
    }
    assert methods["foot"] == FOOT
    assert methods["ladder-template"] == without(FOOT, "prompt")
    assert methods["ladder-spans"] == without(FOOT, "prompt") | {"redirect": ["question"]}
    assert methods["lunar"] == before["defaults"]["methods"]["lunar"], "the top is the method itself, with its grid"
    # Asides change the top alone, with what it chose in rehearsal.
    top = without(SOLVED, *GRID) | {"choices": {"lunar": ["layers", "coefficient"]}}
    assert methods["ladder-ridge"] == top | {"ridge": 0.1}
    assert methods["ladder-site"] == top | {"direction": top["direction"] | {"site": "down_proj"}}
    assert ladder == before


def test_null_leaves_a_rung_of_the_defaults_out(ladder: dict[str, Any]) -> None:
    over = ladder["experiments"]["authors-smollm2"]["ladder"]
    ladder["defaults"]["ladder"] = deepcopy(over)
    both = {"spans": {"prompt": None}, "template": None}
    over.update(rungs=both, asides={"site": None})
    experiment = resolve(ladder)["authors-smollm2"]
    assert "ladder-template" not in experiment["methods"] and "template" not in rungs(experiment)
    assert experiment["methods"]["ladder-spans"] == without(FOOT, "prompt") | {"redirect": ["question"]}
    assert list(asides(experiment)) == ["ridge"]


def test_one_rung_adds_no_method(ladder: dict[str, Any]) -> None:
    all_at_once = {"prompt": None, "redirect": ["question"]} | LADDER["rungs"]["choice"]
    ladder["experiments"]["authors-smollm2"]["ladder"] = without(LADDER, "asides") | {"rungs": {"all": all_at_once}}
    experiment = resolve(ladder)["authors-smollm2"]
    assert rungs(experiment) == {"start": "foot", "all": "lunar"}
    assert asides(experiment) == {}
    assert set(experiment["methods"]) == {"vanilla", "retain_only", "lunar", "foot"}


def test_a_rehearsed_foot_is_climbed_without_its_grid(ladder: dict[str, Any]) -> None:
    """What was chosen for the foot says nothing about the rung above, which has to state it or take it over."""
    one = ladder["experiments"]["authors-smollm2"]
    one["methods"]["foot"] = without(FOOT, "coefficient") | {"grid": {"coefficient": [1.0, 3.0]}}
    with pytest.raises(LunarError, match=r"ladder\.rungs\.template\.coefficient: missing"):
        resolve(ladder)
    one["ladder"]["rungs"]["template"]["choices"] = {"foot": ["coefficient"]}
    one["ladder"]["rungs"]["choice"]["choices"]["foot"] = None
    assert resolve(ladder)["authors-smollm2"]["methods"]["ladder-spans"]["choices"] == {"foot": ["coefficient"]}


def test_null_at_the_top_is_a_value(ladder: dict[str, Any]) -> None:
    """Null is "without" for some settings; a rung cannot set that, so the foot has to have it."""
    one = ladder["experiments"]["authors-smollm2"]
    one["methods"]["lunar"] = {"prompt": None}
    one["ladder"]["rungs"]["template"] = {"ridge": 1.0e-3}
    one["methods"]["foot"].pop("prompt")
    with pytest.raises(
        LunarError, match=r"the rungs do not lead to 'lunar'; prompt is absent on the last rung and None there"
    ):
        resolve(ladder)
    one["methods"]["foot"]["prompt"] = None
    assert resolve(ladder)["authors-smollm2"]["methods"]["ladder-ridge"]["prompt"] is None


def test_no_ladder(config: dict[str, Any]) -> None:
    assert climb(config["defaults"], "here") == {}


@pytest.mark.parametrize(
    ("path", "new", "message"),
    [
        ("ladder.from", "fot", r"ladder\.from: 'fot' is none of .*; did you mean 'foot'\?"),
        ("ladder.to", "lunr", r"ladder\.to: 'lunr' is none of .*; did you mean 'lunar'\?"),
        ("ladder.asides.spans", {}, r"ladder\.asides\.spans: also the name of a rung; call one of them otherwise"),
        ("ladder.asides.start", {}, r"ladder\.asides\.start: also the name of a rung; call one of them otherwise"),
        (
            "ladder.rungs.start",
            {},
            r"ladder\.rungs\.start: the foot of the ladder is called so; call the rung otherwise",
        ),
        (
            "methods.ladder-spans",
            SOLVED,
            r"methods\.ladder-spans: the ladder makes this .* 'spans'; rename one of them",
        ),
        ("methods.ladder-site", SOLVED, r"methods\.ladder-site: the ladder makes this .* 'site'; rename one of them"),
        (
            "ladder.rungs.spans.redirect",
            ["suffix"],
            r"ladder: the rungs do not lead to 'lunar'; redirect is \['suffix'\] on the last rung and \['question'\] "
            r"there; add or change a rung",
        ),
        (
            "ladder.rungs.template.prompt",
            "qa",
            r"ladder: the rungs do not lead to 'lunar'; prompt is 'qa' on the last rung and absent there; add",
        ),
        # Keys in another order are no difference; the first that differs is named.
        (
            "ladder.rungs.spans",
            {"redirect": ["suffix"], "direction": dict(reversed(SOLVED["direction"].items()))},
            r"do not lead to 'lunar'; redirect is \['suffix'\]",
        ),
        # The top chooses its layers; a rung that states some does not lead there.
        (
            "ladder.rungs.choice.layers",
            [14],
            r"do not lead to 'lunar'; layers is \[14\] on the last rung and absent there",
        ),
        # A rung is checked as any method is, under the key that states it.
        ("ladder.rungs.template.recipe", "redirecton", r"ladder\.rungs\.template\.recipe: 'redirecton' is none of "),
        ("ladder.asides.site.layers", [9], r"ladder\.asides\.site\.choices\.lunar\.layers: also stated as "),
    ],
)
def test_mistakes_in_a_ladder_are_named(ladder: dict[str, Any], path: str, new: Any, message: str) -> None:
    put(ladder, f"experiments.authors-smollm2.{path}", new)
    if path.endswith("recipe"):  # so that the rungs still lead to the top
        put(ladder, "experiments.authors-smollm2.ladder.rungs.spans.recipe", "redirection")
    with pytest.raises(LunarError, match=rf"^experiments\.authors-smollm2\..*{message}"):
        resolve(ladder)


def test_value_sorts_keys_at_every_depth() -> None:
    settings = {"a": {"z": 1, "b": {"y": 2, "x": [3, 1, 2]}}}
    found = value(settings, ["a"])
    assert found == settings["a"]
    assert list(found) == ["b", "z"] and list(found["b"]) == ["x", "y"]
    assert value(settings, ["a", "b", "x"]) == [3, 1, 2], "the order of a list means something"


def test_value_of_a_missing_key() -> None:
    with pytest.raises(KeyError):
        value({"a": {}}, ["a", "b"])


def test_files_of_a_folder_lie_beneath_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "a.yaml").write_text("defaults: {one: 1, list: [1, 2]}", encoding="utf-8")
    (tmp_path / "inner/b.yaml").write_text("defaults: {one: 2, two: 2}\nexperiments: {mine: {}}", encoding="utf-8")
    found = with_files(tmp_path, {"run": ["mine"], "defaults": {"two": 3, "list": [4]}})
    assert found == {"defaults": {"one": 2, "two": 3, "list": [4]}, "experiments": {"mine": {}}, "run": ["mine"]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 1", "expected keys with values"),
        ("a: {}\nb: [1\n", ":3: no YAML: did not find expected ',' or ']'"),
        ("", "holds nothing; expected keys with values"),
        ("# a comment", "holds nothing"),
        ("5", "holds a single value"),
        ("a:\n\tb: 1", ":2: no YAML: found character that cannot start any token; YAML takes blanks for indentation"),
        ("a: &a [*a]", ":1: this anchor holds itself"),
        ("a: 010", ":1: YAML reads 010 as 8; write 8, or '010' in quotes for a text"),
        ("a: 0x10", ":1: YAML reads 0x10 as 16"),
        ("a: 1:30", ":1: YAML reads 1:30 as 90"),
        ("a: 2024-01-31", ":1: YAML reads 2024-01-31 as a date; write '2024-01-31' in quotes"),
        ('{"a": 1, "a": 2}', "key 'a' is given twice"),
        ("a: !!python/name:os.system", ":1: no YAML: could not determine a constructor"),
        ("a: {b: 1,\n  b: 2}", ":2: key 'b' is given twice; leave one of them"),
        ("a: 1\nc: 3\na: 1\n", ":3: key 'a' is given twice"),
        ("a: \x07", "no YAML: unacceptable character #x0007"),
        ("a: \udcff", "no UTF-8 text: 'utf-8' codec can't decode byte 0xff"),
    ],
)
def test_a_file_that_is_no_configuration_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "bad.yaml").write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(LunarError) as caught:
        with_files(tmp_path, {})
    assert str(caught.value).startswith(f"{tmp_path}/bad.yaml:") and message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_files_are_looked_through(tmp_path: Path) -> None:
    for name, text in {"config/a.yaml": "a: 1\na: 010", "config/b.yaml": "[", "own.yaml": "b: {c: 1, c: 2}"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "given.json").write_text('{\n\t"a": 1, "a": 1}', encoding="utf-8")
    with pytest.raises(LunarError) as caught:
        with_files(tmp_path / "config", {}, tmp_path / "own.yaml", read=[tmp_path / "given.json"])
    places = [str(fault).removeprefix(f"{tmp_path}/").partition(" ")[0] for fault in caught.value.args]
    assert places == ["config/a.yaml:2:", "config/a.yaml:2:", "config/b.yaml:2:", "own.yaml:1:", "given.json:"]


def test_numbers_and_marks_as_everybody_reads_them(tmp_path: Path) -> None:
    text = "\ufeffa: [1_000, +5, 1., .5, 1.0e-4, -0, 0, yes]\nb: '010'\nc: {<<: {d: 1}, d: 2}"
    (tmp_path / "a.yaml").write_text(text, encoding="utf-8")
    assert with_files(tmp_path, {}) == {"a": [1000, 5, 1.0, 0.5, 1e-4, 0, 0, True], "b": "010", "c": {"d": 2}}


def test_a_fault_of_the_defaults_is_told_once_and_there(config: dict[str, Any]) -> None:
    config["defaults"]["finetune"]["epochs"] = 0
    config["defaults"]["methods"]["lunar"]["ridge"] = -1.0
    config["defaults"]["compare"].append("lunr")
    config["experiments"]["toy"]["run"] = True
    with pytest.raises(LunarError) as caught:
        resolve(config | {"run": ["toi", "toy"]})
    keys = sorted(str(fault).partition(":")[0] for fault in caught.value.args)
    number = len(config["defaults"]["compare"]) - 1
    assert keys == sorted(
        [
            f"defaults.compare[{number}]",
            "defaults.finetune.epochs",
            "defaults.methods.lunar.ridge",
            "experiments.toy.run",
            "run[0]",
        ]
    ), keys


def test_a_fault_that_nobody_inherits_is_none(config: dict[str, Any]) -> None:
    """Whoever has only experiments on data of their own may take the shipped files away."""
    config["experiments"] = {"toy": config["experiments"]["toy"]}
    config["defaults"]["data"]["forget"] = ["gone.jsonl"]
    assert set(resolve(config | {"run": ["toy"]})) == {"toy"}


def test_more_rehearsals_than_authors(config: dict[str, Any]) -> None:
    resolve(config)  # what the defaults ask for of their four authors, an experiment of one does with one
    config["experiments"]["toy"]["methods"]["lunar"]["rehearsals"] = 2
    with pytest.raises(LunarError, match=r"^experiments\.toy\.methods\.lunar\.rehearsals: 2, but .* has 1; "):
        resolve(config)


def test_vanilla_is_compared(config: dict[str, Any]) -> None:
    config["experiments"]["toy"]["compare"] = ["lunar"]
    with pytest.raises(LunarError, match=r"^experiments\.toy\.compare: 'vanilla' is missing"):
        resolve(config)


def test_blocks_of_the_shipped_model_are_known(config: dict[str, Any]) -> None:
    config["defaults"]["figures"]["late_layer"] = 30
    with pytest.raises(LunarError, match=r"^defaults\.figures\.late_layer: 30, but the .* numbered 0 to 29$"):
        resolve(config)


@pytest.mark.parametrize(
    ("section", "change", "words"),
    [
        ("attacks", {"relearn-half": {"steps": [40, 8]}}, r"steps: \[40, 8\] do not rise; name each number"),
        (
            "metrics",
            {"methods": {"min_k_auc": {"k": 0}}},
            r"min_k_auc\.k: 0 is not allowed; allowed is number, > 0; ≤ 1",
        ),
        (
            "methods",
            {"lunar": {"keep": {"retain": {"question": 0}}}},
            r"lunar\.keep\.retain: all weights are 0, which keeps nothing; weigh a span",
        ),
    ],
)
def test_settings_that_mean_nothing(config: dict[str, Any], section: str, change: dict[str, Any], words: str) -> None:
    toy = config["experiments"]["toy"]
    toy[section] = merge(toy.get(section, {}), change)
    with pytest.raises(LunarError, match=words):
        resolve(config)


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    for make, message in (
        (lambda path: path.symlink_to("nowhere"), "No such file"),
        (lambda path: path.mkdir(), "Is a directory"),
    ):
        place = tmp_path / message / "bad.yaml"
        place.parent.mkdir()
        make(place)
        with pytest.raises(LunarError, match=rf"bad\.yaml: cannot be read: {message}"):
            with_files(place.parent, {})


def test_a_merged_mapping_may_state_a_key_again(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: &a {x: 1, y: 1}\nb: &b {<<: *a, x: 2}\nc: {<<: *b, y: 3}", encoding="utf-8")
    found = {"a": {"x": 1, "y": 1}, "b": {"x": 2, "y": 1}, "c": {"x": 2, "y": 3}}
    assert with_files(tmp_path, {}) == found


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


def test_the_experiment_of_the_page_resolves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    text = (ROOT / "docs/extending.md").read_text(encoding="utf-8")
    block = text.partition("## With rehearsals")[2].partition("```yaml\n")[2].partition("```")[0]
    for mine, ours in {
        "forget": "threlfall",
        "retain-1": "ezeobi",
        "retain-2": "minazawa",
        "retain-3": "ybarrondo",
    }.items():
        block = block.replace(f"my/{mine}.jsonl", f"data/authors/{ours}.jsonl")
    config = deepcopy(SHIPPED)
    config["experiments"] |= yaml.safe_load(block)["experiments"]
    mine = own.resolve(config, PLUGINS)["mine"]
    assert mine["methods"]["lunar"]["grid"]["layers"] == [[15], [17], [19], [21]]
    # What of the defaults does not fit other layers is left out; what is asked for has to fit.
    assert "lunar-topk" not in mine["methods"]
    config["experiments"]["mine"]["compare"].append("lunar-topk")
    with pytest.raises(LunarError, match=r"mine\.methods\.lunar-topk\.grid\.layers"):
        own.resolve(config, PLUGINS)


def test_other_data_brings_no_rehearsal_along(config: dict[str, Any]) -> None:
    config["experiments"]["other"] = {"data": {"retain": ["data/authors/ezeobi.jsonl"]}}
    with pytest.raises(LunarError, match=r"methods\.lunar\.grid: nothing to choose on"):
        resolve(config)
    config["experiments"]["other"]["methods"] = {"lunar": {"layers": [12], "coefficient": 1.0}}
    assert resolve(config)["other"]["rehearsal"]["authors"] == []
