"""Which script runs in which environment of envs/, and what it imports there."""

import re
from pathlib import Path

from clone import ROOT
from lunar.plan.experiments import recipes
from lunar.plan.imports import imported_modules
from lunar.plan.plugins import plugins

RULES = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "rules").glob("*.smk")))
PAIRS = sorted(set(re.findall(r'"\.\./envs/(\w+)\.yaml".*?"\.\./scripts/(\w+)\.py"', RULES, flags=re.DOTALL)))


def files_of(script: str) -> list[Path]:
    """A script and the library's modules that it imports."""
    path = ROOT / f"scripts/{script}.py"
    modules = imported_modules(path)
    if any(module.endswith("methods/base.py") for module in modules):
        modules = imported_modules(path, *recipes(ROOT / "scripts").values())  # what it imports by a recipe's name
    if script.startswith("evaluate_"):  # it imports metrics by name
        known = [plugins(ROOT / "scripts", "metrics", kind) for kind in ("metric", "overall")]
        modules = imported_modules(path, *(one.module for found in known for one in found.values()))
    return [path, *map(Path, modules)]
