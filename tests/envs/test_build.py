"""Each environment of envs/, its Python part in an empty venv: all that its scripts import can be imported there."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from clone import ROOT
from environments import PAIRS, files_of


def imports(files: list[Path]) -> str:
    """Every import statement in the files, wherever in them; those of the library are made by importing its modules."""
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))]
    absolute = [
        node
        for node in nodes
        if isinstance(node, ast.Import | ast.ImportFrom) and not ast.unparse(node).startswith("from .")
    ]
    return "\n".join(sorted({ast.unparse(node) for node in absolute}))


@pytest.mark.parametrize("env", sorted({env for env, _ in PAIRS}))
def test_scripts_find_what_they_import(env: str, tmp_path: Path) -> None:
    packages = yaml.safe_load((ROOT / f"envs/{env}.yaml").read_text(encoding="utf-8"))["dependencies"][-1]["pip"]
    python = tmp_path / "venv/bin/python"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    install = [python, "-m", "pip", "install", "--quiet", *packages, "-c", ROOT / "constraints.txt"]
    subprocess.run(install, check=True)
    files = [file for of, script in PAIRS if of == env for file in files_of(script)]
    command = [python, "-P", "-c", imports(files)]
    outcome = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT / "scripts")}, capture_output=True, text=True, check=False
    )
    assert outcome.returncode == 0, outcome.stderr[-3000:]
