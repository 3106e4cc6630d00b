"""Conda environments: every rule has one that exists, pinned as requirements.txt, with all that its script imports."""

import ast
import importlib.metadata
import re
import sys
from pathlib import Path

import pytest
import yaml

from clone import ROOT
from environments import PAIRS, files_of


def pins(text: str) -> dict[str, str]:
    """Versions by normalised package name."""
    found = re.findall(r"^\s*-?\s*([A-Za-z0-9._-]+)(?:\[\w+\])?==(\S+)", text, flags=re.MULTILINE)
    return {name.lower().replace("_", "-"): version for name, version in found}


REQUIREMENTS = pins((ROOT / "requirements.txt").read_text(encoding="utf-8"))
DISTRIBUTIONS = importlib.metadata.packages_distributions()


def third_party(files: list[Path]) -> set[str]:
    """Distributions that the files import, wherever in them."""
    modules = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                modules.add(node.module.split(".")[0])
    modules -= set(sys.stdlib_module_names) | {"lunar"}
    return {DISTRIBUTIONS[module][0].lower().replace("_", "-") for module in modules}


def test_every_script_is_run_by_a_rule_with_an_environment():
    assert {script for _, script in PAIRS} == {path.stem for path in (ROOT / "scripts").glob("*.py")}


@pytest.mark.parametrize(("env", "script"), PAIRS)
def test_environment_has_what_the_script_imports(env, script):
    needed = third_party(files_of(script))
    held = set(pins((ROOT / "envs" / f"{env}.yaml").read_text(encoding="utf-8")))
    assert needed <= held, f"envs/{env}.yaml lacks {sorted(needed - held)}"


@pytest.mark.parametrize("path", sorted((ROOT / "envs").glob("*.yaml")), ids=lambda path: path.stem)
def test_environment_is_pinned_as_requirements(path):
    environment = yaml.safe_load(path.read_text(encoding="utf-8"))
    packages = environment["dependencies"][-1]["pip"]
    assert all("==" in package for package in packages)
    for name, version in pins(path.read_text(encoding="utf-8")).items():
        assert REQUIREMENTS.get(name) == version, f"{path.name}: {name}=={version}, requirements.txt says otherwise"


def test_requirements_are_what_is_installed():
    for name, version in REQUIREMENTS.items():
        assert importlib.metadata.version(name).split("+")[0] == version


@pytest.mark.parametrize("path", sorted((ROOT / "scripts").glob("*.py")), ids=lambda path: path.stem)
def test_no_script_hides_a_package(path):
    # Snakemake puts scripts/ on the path, where a script called like a package would be imported in its stead.
    assert path.stem not in DISTRIBUTIONS
    assert path.stem not in sys.stdlib_module_names
