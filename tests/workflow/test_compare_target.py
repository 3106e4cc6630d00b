"""The target `compare` before a run: experiments with a record and without one."""

import shutil

from clone import run_snakemake
from reruns import planned


def test_without_a_record_there_is_no_page_and_compare_says_how_to_make_one(project):
    shutil.rmtree(project / "docs/recorded/toy")
    assert "compare_recorded" not in planned(project)
    outcome = run_snakemake(project, "compare")
    assert outcome.returncode == 0, outcome.stdout
    assert "toy: no run of it is recorded" in outcome.stdout
    assert ".venv/bin/python docs/make/result_tables.py results/toy" in outcome.stdout


def test_results_that_are_missing_are_made_first(project):
    runs = planned(project, "compare")
    assert runs["compare_recorded"] == runs["compare"] == runs["tabulate_metrics"] == runs["tabulate_attacks"] == 1
    assert runs["finetune"] == 2 and "show_provenance" not in runs


def test_an_experiment_of_several_seeds_is_compared_once(project):
    assert planned(project, experiment="authors-smollm2-seeds")["compare_recorded"] == 1
