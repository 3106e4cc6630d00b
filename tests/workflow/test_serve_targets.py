"""Targets beside export: what they plan, and what they say before anything runs."""

from clone import run_snakemake
from reruns import jobs_run


def test_gguf_asks_for_adapters_and_their_base(project) -> None:
    outcome = run_snakemake(project, "--dry-run", "gguf", export="{method: [lunar, lunar-topk]}")
    assert outcome.returncode == 0, outcome.stdout
    rules = jobs_run(outcome.stdout)
    assert {name: rules[name] for name in ("export_adapter", "gguf_adapter", "gguf_base")} == {
        "export_adapter": 2,
        "gguf_adapter": 2,
        "gguf_base": 1,
    }
    assert "export_model" not in rules


def test_lm_eval_names_its_environment_before_anything_runs(project) -> None:
    outcome = run_snakemake(project, "--dry-run", "lm_eval", export="{method: lunar}")
    assert outcome.returncode == 1
    assert "`make .venv-lm-eval/installed` makes it" in outcome.stdout


def test_lm_eval_evaluates_the_model_before_as_well(project) -> None:
    python = project / ".venv-lm-eval/bin/python"
    python.parent.mkdir(parents=True)
    python.touch()
    outcome = run_snakemake(project, "--dry-run", "lm_eval", export="{method: lunar}")
    assert outcome.returncode == 0, outcome.stdout
    rules = jobs_run(outcome.stdout)
    assert (rules["evaluate_by_harness"], rules["export_model"]) == (2, 1)


def test_a_crate_comes_after_the_results(project) -> None:
    outcome = run_snakemake(project, "--dry-run", "crate")
    assert outcome.returncode == 0, outcome.stdout
    assert {"write_crate": 1, "tabulate_metrics": 1, "show_provenance": 1}.items() <= jobs_run(outcome.stdout).items()


def test_an_orcid_that_is_none_is_refused(project) -> None:
    outcome = run_snakemake(project, "--dry-run", "crate", crate="{orcid: '0000'}")
    assert outcome.returncode == 1
    assert "crate.orcid" in outcome.stdout
