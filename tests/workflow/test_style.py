"""The gates of style: Snakemake's own linter and the formatters."""

import subprocess
import sys
from pathlib import Path

import pytest

from clone import ROOT, run_snakemake, tracked_files

BIN = Path(sys.executable).parent


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check"],
        ["ruff", "format", "--check"],
        ["snakefmt", "--check", "Snakefile", "rules"],
    ],
    ids=" ".join,
)
def test_formatted(command):
    outcome = subprocess.run([BIN / command[0], *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


def test_lint(project):
    outcome = run_snakemake(project, "--lint")
    assert outcome.returncode == 0, outcome.stdout


def test_nothing_large_or_binary_is_tracked():
    suspicious = {".pt", ".pth", ".bin", ".pkl", ".gguf", ".safetensors", ".whl"}
    for name in tracked_files():
        assert (ROOT / name).stat().st_size < 2 * 2**20, f"{name} is larger than 2 MiB"
        assert Path(name).suffix not in suspicious, f"{name} looks like weights or a package"
