"""Several attacks in one job: what was made of the same is taken over, and one that fails stops no other."""

import importlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from lunar.attacks.base import ATTACKS, Attack, AttackFailed
from lunar.errors import Faults
from lunar.files import Row
from lunar.model.resume import Records, fingerprint
from lunar.plan.imports import library_files


def made_of(script: str, how: Mapping[str, Any], inputs: Mapping[str, Any], shared: str) -> str:
    """A fingerprint of all that one attack's record comes from: its inputs, its code, its entry, and what is shared.

    Code counts under relative paths, so that records moved with the project to another folder still stand there.
    """
    paths = [inputs[name] for name in how["inputs"]]
    code = [os.path.relpath(file) for file in (script, *library_files(Path(script), how["module"]))]
    return fingerprint([*paths, *how["files"], *code], how["entry"], shared)


def run_all(
    attacks: Mapping[str, Mapping[str, Any]],
    kept: Records,
    prints: Mapping[str, str],
    run: Callable[[str, Attack], Row],
    say: Callable[[str], None],
    needed: bool,
) -> None:
    """Run the attacks whose records do not stand, and write all records in the order of the attacks.

    Args:
        attacks: by name, the ``entry`` and ``module`` of each.
        kept: records of earlier runs.
        prints: by name, as ``made_of``.
        run: gives an attack's record.
        say: writes a line to log and screen.
        needed: whether each is to succeed; else the record of one that failed holds the reason as ``failed``.

    Raises:
        LunarError: attacks that failed and are ``needed``, once all others are made; those are taken over by the next
            run.
    """
    faults = Faults()
    todo = [name for name in attacks if not kept.stands(name, prints[name])]
    if len(todo) < len(attacks):
        say(f"{len(attacks) - len(todo)} of {len(attacks)} attacks are as an earlier run made them")
    for name in todo:
        entry = attacks[name]["entry"]
        importlib.import_module(attacks[name]["module"])
        torch.manual_seed(0)  # so an attack that seeds nothing draws the same alone and after others
        try:
            record = run(name, ATTACKS[entry["attack"]](entry))
        except AttackFailed as error:
            if needed:
                faults.append(f"attacks.{name}: {error}")
            else:
                say(f"{name} is left out: {error}")
                kept.add(name, prints[name], {"failed": str(error)})
        else:
            kept.add(name, prints[name], record)
    faults.end()
    kept.write(attacks)
