"""Fixtures that run the workflow."""

import fcntl
import os
import shutil
from pathlib import Path

import pytest

from clone import copy_project, run_snakemake

# Before anything imports torch. Its threads wait by spinning: with two processes at work on two cores the tests of
# attacks took 76 s of CPU instead of 12. Jobs set their own number.
os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project with no results."""
    return copy_project(tmp_path / "lunar")


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A copy of the project in which the toy experiment was run, once for all tests; they leave it as it is.

    Processes that share the tests share it too: the first that asks for it runs it, others wait until it is there.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "toy"
    with Path(f"{folder}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            outcome = run_snakemake(copy_project(folder))
            (folder / "outcome.txt").write_text(outcome.stdout[-6000:] if outcome.returncode else "", encoding="utf-8")
    failed = (folder / "outcome.txt").read_text(encoding="utf-8")
    assert not failed, failed
    return folder


@pytest.fixture
def toy_copy(toy: Path, tmp_path: Path) -> Path:
    """The project with the toy's results, to change at will; times are kept, so nothing is out of date."""
    return shutil.copytree(toy, tmp_path / "lunar", symlinks=True)
