"""Fixtures that run the workflow."""

import shutil
from pathlib import Path

import pytest

from clone import copy_project, run_snakemake


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project with no results."""
    return copy_project(tmp_path / "lunar")


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project in which the toy experiment was run, once for all tests; they leave it as it is."""
    folder = copy_project(tmp_path_factory.mktemp("toy") / "lunar")
    outcome = run_snakemake(folder)
    assert outcome.returncode == 0, outcome.stdout[-6000:]
    return folder


@pytest.fixture
def toy_copy(toy: Path, tmp_path: Path) -> Path:
    """The project with the toy's results, to change at will; times are kept, so nothing is out of date."""
    return shutil.copytree(toy, tmp_path / "lunar", symlinks=True)
