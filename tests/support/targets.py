"""Targets of attacks in unit tests: given what one attack declares and no more, and whether it left its model alone."""

import importlib
from pathlib import Path
from typing import Any

import torch

from lunar.attacks.base import ATTACKS, Attack, Target
from lunar.plan.plugins import plugins

DECLARED = plugins(Path(__file__).parents[2] / "scripts", "attacks", "attack")
ALWAYS = {"forget", "retain", "retain_all"}
SOLVED = {"short", "renamed", "renamed_kept"}


def make(name: str, **settings: Any) -> Attack:
    """An attack with its settings, from its own file."""
    importlib.import_module(DECLARED[name].module)
    return ATTACKS[name]({"attack": name} | settings)


def declared(target: Target, name: str) -> Target:
    """The target without what the attack does not declare: the workflow would not give it either."""
    needs = DECLARED[name].needs
    sets = ALWAYS | needs | (SOLVED if "solved_rows" in needs else set())
    target.rows = {one: rows for one, rows in target.rows.items() if one in sets}
    target.statistics = target.statistics if "statistics" in needs else {}
    target.chosen = target.chosen if "layers" in needs else {}
    if "model_before" not in needs:
        target.before = None
        target.__dict__.pop("model_before", None)
    target.__post_init__()
    return target


def weights(target: Target) -> dict[str, torch.Tensor]:
    """A copy of all weights of its model."""
    return {name: value.clone() for name, value in target.model.state_dict().items()}


def unchanged(target: Target, before: dict[str, torch.Tensor]) -> bool:
    """Whether its model has these weights, bit for bit, and no hook."""
    hooks = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in target.model.modules())
    return not hooks and all(torch.equal(before[name], value) for name, value in target.model.state_dict().items())
