"""Fixtures that run the workflow: always in a copy of what git tracks, as a fresh clone would."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
Snakemake = Callable[..., subprocess.CompletedProcess]


def tracked_files() -> list[str]:
    """Files that a clone would hold, and new ones that are not ignored."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [name for name in listed if (ROOT / name).is_file()]


def copy_project(folder: Path) -> Path:
    """Copy the project into ``folder``."""
    for name in tracked_files():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)
    return folder


def run_snakemake(folder: Path, *arguments: str, experiment: str = "toy") -> subprocess.CompletedProcess:
    """Run Snakemake in ``folder`` on two cores; the outcome holds its whole output in ``stdout``."""
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments, "--config", f"run=[{experiment}]"]
    return subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


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
