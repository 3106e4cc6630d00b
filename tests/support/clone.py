"""Run the workflow as a fresh clone would: in a copy of what git tracks."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]


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


def start_snakemake(folder: Path, *arguments: str, experiment: str = "toy", **config: str) -> subprocess.Popen:
    """Start Snakemake in ``folder`` on two cores; ``config`` are further keys for ``--config``."""
    keys = [f"run=[{experiment}]", *(f"{key}={value}" for key, value in config.items())]
    return subprocess.Popen(
        [sys.executable, "-m", "snakemake", "--cores", "2", *arguments, "--config", *keys],
        cwd=folder,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run_snakemake(folder: Path, *arguments: str, **options: str) -> subprocess.CompletedProcess:
    """The same to its end; the outcome holds its whole output in ``stdout``."""
    run = start_snakemake(folder, *arguments, **options)
    said, _ = run.communicate()
    return subprocess.CompletedProcess(run.args, run.returncode, said)


def last_log(folder: Path) -> str:
    """What Snakemake's own log of the last run in ``folder`` holds: dates, job ids, reasons, the table of jobs."""
    logs = (path for path in (folder / ".snakemake/log").glob("*.snakemake.log"))
    return max(logs, key=lambda path: path.stat().st_mtime_ns).read_text(encoding="utf-8")


def kill_all(run: subprocess.Popen) -> None:
    """End a run and the jobs that it started at once, with no chance to tidy up (kill -9)."""
    processes = [psutil.Process(run.pid), *psutil.Process(run.pid).children(recursive=True)]
    for process in processes:
        process.kill()
    psutil.wait_procs(processes)
    run.communicate()
