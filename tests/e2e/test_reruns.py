"""What a change of the project has run again, on the finished toy experiment."""

import shutil
from pathlib import Path

import pytest

from clone import copy_project, run_snakemake, tracked_files
from reruns import LINES, RECOLOUR, changed, contents, planned

RUN = "results/toy"


@pytest.fixture(scope="module")
def edited(toy, tmp_path_factory):
    """The toy's results in a project to change, each change to be taken back."""
    return shutil.copytree(toy, tmp_path_factory.mktemp("edited") / "lunar", symlinks=True)


@pytest.fixture(scope="module")
def everything(edited):
    """The jobs of a run from nothing."""
    return planned(edited, "--forceall")


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.name)
def test_a_change_reruns_exactly(edited, everything, line):
    with changed(edited, line.change):
        assert planned(edited) == line.expected(everything)


def test_what_runs_again_changes_what_it_should_and_nothing_else(edited):
    before = contents(edited)
    figures = {Path(RUN) / f"figures/layers.{kind}" for kind in ("svg", "pdf")}
    with changed(edited, RECOLOUR):
        outcome = run_snakemake(edited)
        assert outcome.returncode == 0, outcome.stdout[-3000:]
        assert "figures | toy: draw the layer scores" in outcome.stdout
        after = contents(edited)
        assert {path for path in before if before[path] != after[path]} == figures
        assert planned(edited) == {}
    (edited / "scripts/plot_layers.py").touch()
    assert run_snakemake(edited).returncode == 0
    assert contents(edited) == before


def test_results_copied_into_a_fresh_clone_are_taken_as_they_are(toy, tmp_path):
    clone = copy_project(tmp_path / "lunar")
    shutil.copytree(toy / "results", clone / "results", symlinks=True)
    for name in tracked_files():
        (clone / name).touch()  # as git leaves them: newer than the results
    assert planned(clone) != {}
    before = contents(clone)
    assert run_snakemake(clone, "--touch").returncode == 0
    assert planned(clone) == {}
    assert contents(clone) == before
