"""Run the workflow as a fresh clone would: in a copy of what git tracks."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


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


def run_snakemake(folder: Path, *arguments: str, experiment: str = "toy", **config: str) -> subprocess.CompletedProcess:
    """Run Snakemake in ``folder`` on two cores; the outcome holds its whole output in ``stdout``.

    ``config`` are further keys for ``--config``.
    """
    keys = [f"run=[{experiment}]", *(f"{key}={value}" for key, value in config.items())]
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments, "--config", *keys]
    return subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
