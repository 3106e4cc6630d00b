"""What of an experiment does not work where a norm stands between ``down_proj`` and the stream, for ``check``.

The jobs refuse it by themselves, hours later (``lunar.methods.entity_map``, ``lunar.methods.requests`` and
``plainly_written`` of ``lunar.attacks.intervening``).
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lunar.plan.consistency import used
from lunar.plan.machine import NOTE, STOP, Line

RECIPES = ("entity", "entity_refusal")
ATTACKS = ("invert", "rank_one_removal")
# Model types of transformers whose blocks have such a norm; the probe measures it of any.
FAMILIES = ("gemma2", "gemma3", "gemma3_text", "gemma3n_text", "olmo2", "olmo3", "glm4")


def behind_norm(settings: Mapping[str, Any], probe: Path, folders: Sequence[Path]) -> list[Line]:
    """What cannot be run on the experiment's model: it stops the run where the model was probed, else it is a note.

    Args:
        settings: the experiment's configuration, merged and checked.
        probe: what the look at the model has found; need not exist.
        folders: where the model may be; the first that has a config.json counts.
    """
    wrong, norm = refused(settings), ""
    if found := read(probe):
        arrival = next((one["found"] for one in found if one["what"] == "arrival in the stream"), "")
        norm = "".join(re.findall(r"RMS norm (\w+)", arrival)[:1])
    else:
        kinds = [
            read(folder / "config.json").get("model_type") for folder in folders if (folder / "config.json").is_file()
        ]
        kind = next(iter(kinds), settings["model"].get("architecture"))
        norm = f"of {kind}" if kind in FAMILIES else ""
    if not norm:
        return []
    said = f"a norm ({norm}) stands behind down_proj, so these cannot be run: {{}}"
    return [Line(STOP if found else NOTE, "model", said.format(what), remedy) for remedy, what in wrong.items()]


def refused(settings: Mapping[str, Any]) -> dict[str, str]:
    """What is not to be run on such a model, by what to do about it."""
    attacked, sequential = settings["attacked"], settings["sequential"]
    run = used(settings) | {*(attacked["methods"] if attacked["attacks"] else ())}
    methods = [name for name, one in settings["methods"].items() if name in run and one.get("recipe") in RECIPES]
    attacks = [name for name in attacked["attacks"] if settings["attacks"][name]["attack"] in ATTACKS]
    found = {
        "leave them out of compare, attacked and sequential; lunar works": f"methods {', '.join(methods)}"
        * bool(methods),
        "leave them out of attacked.attacks": f"attacks {', '.join(attacks)}" * bool(attacks and attacked["methods"]),
        "set sequential.requests: []": "requests in sequence"
        * bool(sequential["requests"] and {*sequential["methods"]} - {*methods}),
    }
    return {remedy: what for remedy, what in found.items() if what}


def read(path: Path) -> Any:
    """What a JSON file holds; an empty mapping where there is none that can be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
