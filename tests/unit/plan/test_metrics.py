"""Which metrics an experiment computes: in which order, from which files, and every mistake in naming them."""

import dataclasses
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from clone import ROOT
from lunar.errors import LunarError
from lunar.plan.imports import imported_modules
from lunar.plan.metrics import check_metrics, measured
from lunar.plan.plugins import plugins as plugins_of
from shipped import CONFIG, PLUGINS

SECTION = CONFIG["defaults"]["metrics"]
SCRIPTS = ROOT / "scripts"


def with_metrics(**kinds: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is computed with these entries merged over the shipped ones, left alone and under attack."""
    section = deepcopy(SECTION)
    for kind, entries in kinds.items():
        section[kind] |= entries
    check_metrics(section, PLUGINS, "mine.metrics")
    return measured(section, PLUGINS, attacked=False), measured(section, PLUGINS, attacked=True)


def test_metrics_are_listed_in_the_order_of_the_configuration() -> None:
    alone, _ = with_metrics()
    assert [name for name, _ in alone["answers"]] == list(SECTION["answers"])
    assert alone["methods"][4] == ["min_k_auc", {"k": 0.2}]
    assert alone["modules"] == sorted(set(alone["modules"])) and "lunar.metrics.tofu" in alone["modules"]


def test_under_attack_only_what_answers_alone_tell() -> None:
    _, attacked = with_metrics()
    names = ["rouge1", "rougeL", "refusal", "wrong", "right", "gibberish"]
    assert [name for name, _ in attacked["answers"]] == [
        *names,
        "refusal_knowledge",
        "refusal_unethical",
        "mrr_position",
    ]
    assert attacked["methods"] == [["ds", {}]]
    files = ("deviation", "outcomes", "rouge", "text_position")
    assert attacked["modules"] == [f"lunar.metrics.{name}" for name in files]


def test_null_leaves_a_metric_out_and_its_file_with_it() -> None:
    alone, attacked = with_metrics(answers={"refusal_quality": None, "mrr_position": None})
    assert not {"refusal_quality", "mrr_position"} & {name for name, _ in alone["answers"]}
    assert "lunar.metrics.refusal_quality" not in alone["modules"]
    assert "lunar.metrics.text_position" not in attacked["modules"]


@pytest.mark.parametrize(
    ("kinds", "words"),
    [
        ({"answers": {"rogue1": {}}}, ["mine.metrics.answers", "'rogue1' is none of", "did you mean 'rouge1'?"]),
        ({"methods": {"rouge1": {}}}, ["mine.metrics.methods", "'rouge1' is none of"]),
        ({"methods": {"min_k_auc": {"k": 2}}}, ["mine.metrics.methods.min_k_auc.k: 2 is not allowed", "≤ 1"]),
        ({"methods": {"min_k_auc": {"share": 0.1}}}, ["min_k_auc.share: no such key", "its keys are k"]),
        ({"answers": {"rougeL": {"k": 1}}}, ["answers.rougeL.k: no such key; it has no keys"]),
        ({"answers": {"gibberish": None}}, ["mine.metrics.answers.gibberish: missing", "tables and figures show it"]),
        ({"methods": {"ds": None}}, ["mine.metrics.methods.ds: missing"]),
    ],
)
def test_mistakes(kinds: dict[str, dict[str, Any]], words: list[str]) -> None:
    with pytest.raises(LunarError) as error:
        with_metrics(**kinds)
    assert all(word in str(error.value) for word in words), error.value


def test_a_metric_of_ones_own_is_a_function_and_an_entry(tmp_path: Path) -> None:
    folder = tmp_path / "lunar/metrics"
    folder.mkdir(parents=True)
    for path in (SCRIPTS / "lunar/metrics").glob("*.py"):
        (folder / path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "mine.py").write_text(
        '@metric("Words", better="lower", source="here")\ndef words(row):\n    return 0.0\n', encoding="utf-8"
    )
    section = deepcopy(SECTION)
    section["answers"]["words"] = {}
    plugins = dataclasses.replace(PLUGINS, answers={**PLUGINS.answers, **plugins_of(tmp_path, "metrics", "metric")})
    alone, attacked = (measured(section, plugins, attacked=one) for one in (False, True))
    assert alone["answers"][-1] == attacked["answers"][-1] == ["words", {}]
    assert "lunar.metrics.mine" in alone["modules"]


def test_an_edit_of_a_metric_reruns_evaluation_alone() -> None:
    """Files of metrics are inputs of the rules that evaluate, by name, and of what shows DS of answers at hand."""
    dependent: dict[str, set[str]] = {}
    for script in SCRIPTS.glob("*.py"):
        for path in map(Path, imported_modules(script)):
            if path.parent.name == "metrics":
                dependent.setdefault(path.stem, set()).add(script.stem)
    logs = {"tabulate_open_unlearning"}  # computes what others' logs leave blank, where an experiment names any
    for name in ("tofu", "likelihoods", "membership", "refusal_quality", "text_position"):
        assert dependent.get(name, set()) <= logs
    shows_ds = {"tabulate_ladder", "audit_published"}
    assert (dependent["rouge"] | dependent["outcomes"] | dependent["deviation"]) - logs == shows_ds
    evaluate = {"evaluate_answers", "evaluate_attacks"}
    assert dependent["study"] - logs == dependent["base"] - logs == shows_ds | evaluate
