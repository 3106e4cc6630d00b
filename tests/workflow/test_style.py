"""The gates of style: linters, formatters, which module may import which, and how long a file may be."""

import ast
import os
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


def test_no_import_runs_up():
    """The contracts are in pyproject.toml."""
    environment = os.environ | {"PYTHONPATH": "scripts"}
    command = [BIN / "lint-imports", "--no-cache"]
    outcome = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


def lines_of(path):
    return path.read_text(encoding="utf-8").count("\n")


def test_files_are_short():
    for path in (ROOT / "scripts").glob("*.py"):
        assert lines_of(path) <= 60, f"{path.name}: what a script does belongs in the library"
    for path in (ROOT / "scripts/lunar").rglob("*.py"):
        # One that is longer says in its docstring why its lines belong together.
        said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        assert lines_of(path) <= 400 or " lines " in said, f"{path.relative_to(ROOT)}: is it about more than one thing?"
    assert len([*(ROOT / "scripts/lunar").glob("*.py")]) <= 4, "a module belongs in the package of its floor"
    assert lines_of(ROOT / "rules/common.smk") <= 150
    assert lines_of(ROOT / "config.yaml") <= 300


def test_nothing_large_or_binary_is_tracked():
    suspicious = {".pt", ".pth", ".bin", ".pkl", ".gguf", ".safetensors", ".whl"}
    for name in tracked_files():
        assert (ROOT / name).stat().st_size < 2 * 2**20, f"{name} is larger than 2 MiB"
        assert Path(name).suffix not in suspicious, f"{name} looks like weights or a package"
