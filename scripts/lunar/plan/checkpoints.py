"""Models that were unlearned elsewhere: entries of methods that name a folder, an adapter or a model of a hub."""

from collections.abc import Container, Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints, model_validator

from lunar.errors import Faults
from lunar.plan.declare import Section, Text
from lunar.plan.plugins import Plugin

RECIPE = "checkpoint"
ORIGINS = ("folder", "adapter", "hub")
BEFORE = "vanilla"
CONTROL = "retain_only"  # the one method without a recipe that may come from elsewhere
# Keys that say how an edit is made here.
MADE_HERE = ("statistics_of", "grid", "choices", "rehearsals")


class OnHub(Section):
    """A model or an adapter of the hub."""

    id: Text = Field(description="owner/name.")
    revision: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")] = Field(
        description="Commit, 40 hexadecimal digits."
    )


class Checkpoint(Section):
    """A model that was unlearned elsewhere from the model before. One of these three names it."""

    folder: Text | None = Field(None, description="A Hugging Face model folder with safetensors.")
    adapter: Text | None = Field(None, description="A PEFT folder, an adapter on the model before.")
    hub: OnHub | None = Field(None, description="A model or a PEFT adapter of the Hugging Face hub.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        stated = [name for name in ORIGINS if getattr(self, name) is not None]
        if len(stated) != 1:
            said = f"{' and '.join(stated)} are stated" if stated else "none is stated"
            raise ValueError(f": names one of {', '.join(ORIGINS)}, and {said}")
        return self


PLUGIN = Plugin(RECIPE, "", frozenset(), Checkpoint, summary=(Checkpoint.__doc__ or "").strip())


def origin(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A method's ``folder``, ``adapter`` or ``hub``, if its model is not made here; else nothing."""
    stated = {key: entry[key] for key in ORIGINS if entry.get(key) is not None}
    if "recipe" not in entry:  # of a control; an `adapter` that is a mapping belongs to a recipe that is missing
        return {key: value for key, value in stated.items() if isinstance(value, str) or key == "hub"}
    return stated if entry["recipe"] == RECIPE else {}


def path(entry: Mapping[str, Any]) -> str | None:
    """The folder that an entry names, of a model or an adapter; None where it names none."""
    stated = origin(entry)
    return stated.get("folder") or stated.get("adapter")


def check(methods: Mapping[str, Mapping[str, Any]], used: Container[str], where: str) -> None:
    """Refuse checkpoints whose folder is not there.

    Args:
        methods: entries by name, each valid by itself.
        used: those that the experiment runs.
        where: dotted key of the experiment.

    Raises:
        LunarError: names the key and the path.
    """
    faults = Faults()
    for name in sorted(name for name in methods if name in used):
        folder = path(methods[name])
        if folder is not None and not Path(folder).expanduser().is_dir():
            key = "folder" if "folder" in origin(methods[name]) else "adapter"
            faults.append(f"{where}.methods.{name}.{key}: no folder {folder} (paths are relative to the work folder)")
    faults.end()


def check_entry(name: str, entry: Mapping[str, Any], where: str) -> None:
    """Refuse keys that do not belong to a model from elsewhere.

    Raises:
        LunarError: names each of them.
    """
    if not origin(entry):
        return
    faults = Faults(
        f"{where}.{key}: says how an edit is made, and this model is made elsewhere; leave it out"
        for key in MADE_HERE
        if key in entry
    )
    if "recipe" in entry and name in (BEFORE, CONTROL):
        said = (
            "is the model before itself, so call this one something else"
            if name == BEFORE
            else "is a control, which has none; leave it out"
        )
        faults.append(f"{where}.recipe: {name} {said}")
    if "recipe" not in entry and name != CONTROL:
        key = next(iter(origin(entry)))
        faults.append(f"{where}.{key}: a model that was unlearned elsewhere has recipe: {RECIPE}; add that")
    faults.end()
