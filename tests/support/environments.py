"""Which script runs in which environment of envs/, and what it imports there."""

import re
from pathlib import Path

from clone import ROOT
from lunar.plan.imports import imported_modules
from shipped import PLUGINS

RULES = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "rules").glob("*.smk")))
PAIRS = sorted(set(re.findall(r'"\.\./envs/(\w+)\.yaml".*?"\.\./scripts/(\w+)\.py"', RULES, flags=re.DOTALL)))


def files_of(script: str) -> list[Path]:
    """A script and the library's modules that it imports."""
    path = ROOT / f"scripts/{script}.py"
    modules = imported_modules(path)
    if any(module.endswith("methods/base.py") for module in modules):
        by_name = [one.module for one in PLUGINS.methods.values() if one.module]  # what it imports by a recipe's name
        modules = imported_modules(path, *by_name)
    if script.startswith("evaluate_"):  # it imports metrics by name
        modules = imported_modules(
            path, *(one.module for one in (*PLUGINS.answers.values(), *PLUGINS.overall.values()))
        )
    return [path, *map(Path, modules)]
