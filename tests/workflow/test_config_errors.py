"""Bad input to the workflow: one clear message, before any job, and nothing left behind."""

import json
import re

import pytest
import yaml

from clone import ROOT, run_snakemake

EXPERIMENTS = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))["experiments"]


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
    for rule in ("fetch_model", "unlearn", "generate_answers", "tabulate_metrics", "write_report"):
        assert rule in outcome.stdout


def test_seeds_repeat_the_experiment(project):
    change_config(project, lambda config: toy(config).update(seeds=[0, 1]))
    outcome = run_snakemake(project, "--dry-run")
    assert outcome.returncode == 0, outcome.stdout
    jobs = outcome.stdout.rpartition("Job stats:")[2]
    for rule, count in {"fetch_model": 1, "finetune": 4, "tabulate_metrics": 2, "compare_seeds": 1}.items():
        assert re.search(rf"^{rule} +{count}$", jobs, flags=re.MULTILINE), jobs


def toy(config):
    return config["experiments"]["toy"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: toy(c)["finetune"].update(learing_rate=1), ["learing_rate", "unexpected"]),
        (lambda c: c["defaults"].pop("layers"), ["layers", "required"]),
        (lambda c: toy(c)["finetune"].update(epochs=0), ["0 is less than the minimum", "epochs"]),
        (lambda c: toy(c).update(compare=["vanilla", "lunr"]), ["compare", "lunr", "did you mean 'lunar'"]),
        (lambda c: toy(c).update(methods={"lunar": {"layers": [77]}}), ["methods.lunar.layers", "77", "1, 2, 3"]),
        (lambda c: toy(c)["layers"].update(top_k=9), ["layers.top_k", "9", "3 candidates"]),
        (lambda c: toy(c)["data"].update(forget=["data/toy/none.jsonl"]), ["data.forget", "data/toy/none.jsonl"]),
        (lambda c: toy(c)["model"].update(source="ftp"), ["ftp", "wheel", "hub", "path", "random"]),
    ],
)
def test_config_error(project, change, words):
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
    ("config", "words"),
    [
        ({}, ["say which one to export", "--config method=lunar", "toy has lunar, lunar-topk"]),
        ({"method": "lunr"}, ["'lunr' is none of lunar, lunar-topk", "did you mean 'lunar'"]),
        ({"method": "vanilla"}, ["'vanilla' is none of lunar, lunar-topk"]),
        ({"method": "lunar", "experiment": "toi"}, ["'toi' is none of", "did you mean 'toy'"]),
    ],
    ids=["no method", "misspelt", "no edit", "experiment"],
)
def test_export_of_nothing(project, config, words):
    outcome = run_snakemake(project, "export", **config)
    assert outcome.returncode != 0
    for word in words:
        assert word in outcome.stdout, outcome.stdout
    assert not (project / "results").exists()


def edit_rows(path, change):
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    change(rows)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: rows[2].pop("answer"), ["rook.jsonl:3", "'answer'"]),
        (lambda rows: rows[3].update(question=rows[1]["question"]), ["rook.jsonl:4", "rook.jsonl:2"]),
        (lambda rows: rows[0].update(question="where does BELA FINCH live"), ["rook.jsonl:1", "finch.jsonl:1"]),
    ],
    ids=["missing field", "duplicate", "forgotten and retained"],
)
def test_bad_row(project, change, words):
    edit_rows(project / "data/toy/rook.jsonl", change)
    outcome = run_snakemake(project, "results/toy/models/full")
    assert outcome.returncode != 0
    for word in words:
        assert word in outcome.stdout, outcome.stdout
    assert "Traceback" not in outcome.stdout
    assert not list((project / "results").glob("toy/data/*.jsonl"))
    assert not (project / "results/toy/models").exists()
