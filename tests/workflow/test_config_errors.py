"""Bad input to the workflow: one clear message, before any job, and nothing left behind."""

import json
import re
from copy import deepcopy

import pytest
import yaml
from snakemake.exceptions import WorkflowError
from snakemake.utils import validate

from clone import ROOT, run_snakemake
from lunar.errors import LunarError
from lunar.plan.plan import plan
from reruns import jobs_run
from shipped import CONFIG

SCHEMA = ROOT / "rules/config.schema.yaml"
EXPERIMENTS = deepcopy(CONFIG)["experiments"]


def change_config(project, change):
    """Edit the project's config.yaml through a function of its parsed content."""
    path = project / "config.yaml"
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    change(config)
    path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_dry_run(project, experiment):
    outcome = run_snakemake(project, "--dry-run", experiment=experiment)
    assert outcome.returncode == 0, outcome.stdout
    rules = jobs_run(outcome.stdout)
    wanted = {"fetch_model", "unlearn", "generate_answers", "tabulate_metrics", "write_report"}
    # A method that is solved from rows, with its settings stated, has nothing to rehearse.
    assert wanted | ({"rehearse"} if experiment != "authors-smollm2-revert" else set()) <= {*rules}


def test_seeds_repeat_the_experiment(project):
    change_config(project, lambda config: toy(config).update(seeds=[0, 1]))
    outcome = run_snakemake(project, "--dry-run")
    assert outcome.returncode == 0, outcome.stdout
    jobs = outcome.stdout.rpartition("Job stats:")[2]
    for rule, count in {"fetch_model": 1, "finetune": 4, "tabulate_metrics": 2, "compare_seeds": 1}.items():
        assert re.search(rf"^{rule} +{count}$", jobs, flags=re.MULTILINE), jobs


def toy(config):
    return config["experiments"]["toy"]


def lunar(config, **change):
    """Lay a change on the toy's entry of the method. A ladder to it would have to change too."""
    toy(config)["ladder"] = None
    toy(config)["methods"]["lunar"] = toy(config)["methods"].get("lunar", {}) | change


def planned(outcome):
    """Rules of a dry run, with their number of jobs."""
    assert outcome.returncode == 0, outcome.stdout
    return jobs_run(outcome.stdout)


FOOT = {
    "model": "full",
    "recipe": "redirection",
    "prompt": "plain",
    "layers": "best",
    "coefficient": 2.0,
    "direction": {"site": "down_proj", "tokens": "prompt", "reference": "fictitious"},
    "redirect": ["mean"],
    "keep": {"retain": {"mean": 1}},
    "ridge": 1.0e-3,
}


def lay_ladder(config):
    """A ladder of two rungs between a foot of its own and a top without a grid, and an aside."""
    top = FOOT | {"redirect": ["question"], "prompt": None}
    del top["prompt"]
    config["defaults"]["methods"] |= {"foot": FOOT, "top": top}
    rungs = {"template": {"prompt": None}, "spans": {"redirect": ["question"]}}
    config["defaults"]["prompts"] |= {"plain": "Question: {question} Answer:"}
    config["defaults"]["ladder"] = {"from": "foot", "to": "top", "rungs": rungs, "asides": {"ridge": {"ridge": 0.1}}}
    toy(config).pop("ladder")


def test_a_ladder_is_made_of_its_rungs(project):
    change_config(project, lay_ladder)
    jobs = planned(run_snakemake(project, "--dry-run", "results/toy/tables/ladder.html"))
    # Foot, one rung, top and aside; nothing is rehearsed, and no table of metrics is asked for.
    assert jobs["unlearn"] == 4
    assert jobs["tabulate_ladder"] == 1
    assert not {"rehearse", "evaluate_answers", "score_likelihood"} & set(jobs)
    assert jobs["generate_answers"] == 4


def test_an_experiment_without_choices_rehearses_nothing(project):
    def settle(config):
        toy(config)["methods"] = {name: {"layers": "best", "coefficient": 2.0} for name in ("lunar", "lunar-topk")}
        compare = ["vanilla", "lunar", "lunar-topk"]
        toy(config).update({"rehearsal": {"authors": []}, "ladder": None, "compare": compare})
        toy(config)["sequential"]["methods"] = ["lunar"]

    change_config(project, settle)
    jobs = planned(run_snakemake(project, "--dry-run"))
    assert jobs["unlearn"] >= 2
    assert not {"rehearse", "plot_rehearsal"} & set(jobs)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: toy(c)["finetune"].update(learing_rate=1), ["learing_rate", "unexpected"]),
        (lambda c: c["defaults"].pop("layers"), ["layers", "required"]),
        (lambda c: toy(c)["finetune"].update(epochs=0), ["0 is less than the minimum", "epochs"]),
        (lambda c: toy(c).update(compare=["vanilla", "lunr"]), ["compare", "lunr", "did you mean 'lunar'"]),
        (lambda c: lunar(c, layers=[2]), ["methods.lunar.grid.layers: also stated as", "leave one of them"]),
        (lambda c: lunar(c, grid={"layers": [[77]]}), ["methods.lunar.grid.layers[0]", "77", "1, 2, 3"]),
        (lambda c: lunar(c, grid={"layers": [2]}), ["methods.lunar.grid.layers[0]: 2 is no list"]),
        (lambda c: lunar(c, recipe="redirecton"), ["methods.lunar.recipe", "did you mean 'redirection'"]),
        (lambda c: lunar(c, prompt="plain"), ["methods.lunar.prompt", "'plain'"]),
        (lambda c: lunar(c, redirect=["questions"]), ["methods", "redirect", "questions", "mean"]),
        (lambda c: toy(c).update(prompts={"plain": "Say it."}), ["prompts", "plain", "question"]),
        (lambda c: toy(c).update(rehearsal={"authors": []}), ["grid", "nothing to choose on", "rehearsal.authors"]),
        (lambda c: toy(c)["data"].update(evaluation_part="validation"), ["data", "evaluation_part", "unexpected"]),
        (lambda c: toy(c)["figures"].update(methods=["vanilla"]), ["figures.methods[0]", "'vanilla' is none of lunar"]),
        (lambda c: c["defaults"].update(ladder={"from": "lunar"}), ["ladder", "'to' is a dependency of 'from'"]),
        (
            lambda c: toy(c)["methods"]["lunar"].update(ridge=0.5),
            ["toy.ladder: the rungs do not lead to 'lunar'; ridge is 0.001", "or set the ladder to null"],
        ),
        (
            lambda c: c["defaults"]["ladder"]["asides"].update(other={"rigde": 1}),
            ["ladder.other", "'rigde' was unexpected"],
        ),
        (lambda c: toy(c).update(attacked={"attacks": ["revers"]}), ["attacked.attacks[0]", "'revers'"]),
        (
            lambda c: toy(c).update(
                finetune={"enabled": False}, compare=["vanilla", "lunar"], attacked={"attacks": ["amplify"]}
            ),
            ["attacked.attacks[0]", "'amplify' needs a model from before fine-tuning"],
        ),
        (lambda c: toy(c)["layers"].update(top_k=9), ["layers.top_k", "9", "3 candidates"]),
        (lambda c: toy(c)["model"].update(source="ftp"), ["ftp", "wheel", "hub", "path", "random"]),
    ],
)
def test_config_error(monkeypatch, change, words):
    """What the Snakefile does with a configuration before anything else."""
    monkeypatch.chdir(ROOT)
    config = deepcopy(CONFIG) | {"run": ["toy"]}
    change(config)
    with pytest.raises((WorkflowError, LunarError)) as caught:
        validate(config, SCHEMA)
        plan(config, ROOT / "scripts", SCHEMA)
    assert all(word in str(caught.value) for word in words), caught.value


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: toy(c)["finetune"].update(learing_rate=1), ["learing_rate", "unexpected"]),
        (lambda c: toy(c).update(compare=["vanilla", "lunr"]), ["config:", "compare", "did you mean 'lunar'"]),
        (lambda c: toy(c)["data"].update(forget=["data/toy/none.jsonl"]), ["data.forget", "data/toy/none.jsonl"]),
    ],
)
def test_config_error_ends_the_run_before_it_begins(project, change, words):
    change_config(project, change)
    outcome = run_snakemake(project)
    assert outcome.returncode != 0
    for word in words:
        assert word in outcome.stdout, outcome.stdout
    assert not (project / "results").exists()


def test_unknown_experiment(project):
    outcome = run_snakemake(project, experiment="toi")
    assert outcome.returncode != 0
    assert "did you mean 'toy'" in outcome.stdout


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ({"method": "lunr"}, ["'lunr' is none of lunar, lunar-topk", "did you mean 'lunar'"]),
        ({"method": "vanilla"}, ["'vanilla' is none of lunar, lunar-topk"]),
        ({"method": "lunar", "experiment": "toi"}, ["'toi' is none of", "did you mean 'toy'"]),
    ],
    ids=["misspelt", "no edit", "experiment"],
)
def test_export_of_nothing(monkeypatch, named, words):
    monkeypatch.chdir(ROOT)
    config = deepcopy(CONFIG) | {"run": ["toy"]}
    with pytest.raises(LunarError) as caught:
        plan(config | named, ROOT / "scripts", SCHEMA)
    assert all(word in str(caught.value) for word in words), caught.value


def test_export_of_no_method_ends_the_run(project):
    outcome = run_snakemake(project, "export")
    assert outcome.returncode != 0
    for words in ("say which one to export", "--config method=lunar", "toy has lunar, lunar-topk"):
        assert words in outcome.stdout, outcome.stdout
    assert not (project / "results").exists()


def edit_rows(path, change):
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    change(rows)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def test_bad_row(project):
    """Each way for a row to be bad is in the unit tests of the loader."""
    edit_rows(project / "data/toy/rook.jsonl", lambda rows: rows[0].update(question="where does BELA FINCH live"))
    outcome = run_snakemake(project, "results/toy/models/full")
    assert outcome.returncode != 0
    for words in ("rook.jsonl:1", "finch.jsonl:1"):
        assert words in outcome.stdout, outcome.stdout
    assert "Traceback" not in outcome.stdout
    assert not list((project / "results").glob("toy/data/*.jsonl"))
    assert not (project / "results/toy/models").exists()
