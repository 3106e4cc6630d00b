"""A merged experiment, checked for what depends on more than one key."""

from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

from lunar.data import files
from lunar.errors import Faults, LunarError
from lunar.model import mixture
from lunar.plan import checkpoints
from lunar.plan.entries import (
    Config,
    Plugins,
    check_blocks,
    check_choices,
    check_files,
    check_method,
    check_shape,
    one_of,
)


def used(experiment: Mapping[str, Any]) -> set[str]:
    """The methods that an experiment runs, and those that these lean on."""
    names = {"vanilla", *experiment["compare"], *experiment["figures"]["methods"]}
    names |= {experiment["ladder"][end] for end in ("from", "to") if experiment["ladder"]}
    if experiment["optimisers"]:
        names.add(experiment["optimisers"]["method"])
    if experiment["sequential"]["requests"]:
        names.update(experiment["sequential"]["methods"])
    todo = list(names)
    while todo:
        entry = experiment["methods"].get(todo.pop(), {})
        found = {*entry.get("choices", {}), entry.get("statistics_of")} - {None}
        todo += found - names
        names |= found
    return names


def check(experiment: Config, plugins: Plugins, made: Container[str], where: str, sound: bool) -> None:
    """One merged experiment, checked for what depends on more than one key.

    Args:
        experiment: what is checked.
        plugins: what methods, attacks and metrics there are.
        made: files that the workflow makes.
        where: dotted key of the experiment.
        sound: nothing was found wrong with entries of methods, attacks and metrics, nor with the ladder.

    Raises:
        LunarError: as ``lunar.plan.experiments.resolve``.
    """
    faults, methods = Faults(), experiment["methods"]
    if set(methods.get("vanilla", {})) != {"model"}:
        faults.append(f"{where}.methods.vanilla: must be there, with a model and no edit; all else starts from it")
    for key, path in files.named(experiment["data"]):
        if path not in made and (said := files.absent(path)):
            faults.append(f"{where}.data.{key}: {said}")
    ladder = experiment["ladder"] or {}
    rung = {f"ladder-{step}": f"ladder.{part}.{step}" for part in ("rungs", "asides") for step in ladder.get(part, {})}
    known = {**methods, **rung}
    for place, names in (("compare", experiment["compare"]), ("attacked.methods", experiment["attacked"]["methods"])):
        for number, name in enumerate(names):
            with faults:
                one_of(name, known, f"{where}.{place}[{number}]")
    if "vanilla" not in experiment["compare"] and known.keys() >= {*experiment["compare"]}:
        faults.append(f"{where}.compare: 'vanilla' is missing; every table sets methods beside it, so list it, too")
    before = len(faults)
    for name, method in methods.items() if sound else ():
        with faults:
            check_shape(method, f"{where}.{rung.get(name, f'methods.{name}')}")
            check_method(method, experiment, plugins.methods, f"{where}.{rung.get(name, f'methods.{name}')}")
            checkpoints.check_entry(name, method, f"{where}.methods.{name}")
    sound = sound and len(faults) == before
    if sound:
        with faults:
            check_choices(methods, where)
    for name in experiment["compare"] if not experiment["finetune"]["enabled"] else ():
        method = methods.get(name, {})
        here = method.get("model") == "retain_only" and not checkpoints.origin(method)
        lacking = "fine-tuned without the forget set" if here else None
        recipe = plugins.methods.get(method.get("recipe", ""))
        lacking = "from before fine-tuning" if recipe and "model_before" in recipe.needs else lacking
        if lacking:
            faults.append(
                f"{where}.compare: {name!r} needs a model {lacking}, but finetune.enabled is false; "
                f"leave it out of compare{', or name its folder' if name == checkpoints.CONTROL else ''}"
            )
    check_rehearsals(experiment, faults, f"{where}.rehearsal.authors")
    edited = [name for name, method in methods.items() if "recipe" in method and not checkpoints.origin(method)]
    for number, name in enumerate(experiment["figures"]["methods"]):
        with faults:
            one_of(name, [*edited, *rung], f"{where}.figures.methods[{number}]")
    if experiment["mixture"] is not None:
        if not experiment["finetune"]["enabled"]:
            faults.append(f"{where}.mixture: a study of fine-tuning, and finetune.enabled is false; set it to null")
        try:
            mixture.points(experiment["mixture"])
        except LunarError as error:
            faults.append(f"{where}.{error}")
    if experiment["optimisers"] is not None:
        stated = [
            name for name, entry in methods.items() if "direction" in entry and not {"grid", "choices"} & entry.keys()
        ]
        with faults:
            one_of(experiment["optimisers"]["method"], stated, f"{where}.optimisers.method")
    with faults:
        check_sequential(experiment, plugins, where)
    if sound:
        with faults:
            check_files(experiment, plugins, made, where)
        with faults:
            checkpoints.check(methods, used(experiment) | set(experiment["attacked"]["methods"]), where)
        with faults:
            check_blocks(experiment, plugins, used(experiment) | set(experiment["attacked"]["methods"]), where)
    for name, path in experiment.get("evaluation_logs", {}).items():
        with faults:
            one_of(name, experiment["compare"], f"{where}.evaluation_logs")
        if not Path(path).is_file():
            faults.append(f"{where}.evaluation_logs.{name}: no file {path} (paths are relative to the work folder)")
    layers = experiment["layers"]
    if layers["top_k"] > len(layers["candidates"]):
        faults.append(
            f"{where}.layers.top_k: {layers['top_k']} is more than the {len(layers['candidates'])} candidates"
        )
    faults.end()


def check_rehearsals(experiment: Config, faults: Faults, where: str) -> None:
    """The pairs of authors that a merged experiment rehearses on."""
    retain = experiment["data"]["retain"]
    for number, pair in enumerate(experiment["rehearsal"]["authors"]):
        for key in ("forget", "held_out"):
            with faults:
                one_of(pair[key], retain, f"{where}[{number}].{key}")
        if pair["forget"] == pair["held_out"]:
            faults.append(f"{where}[{number}]: forgets and holds out the same file; name two of data.retain")
        elif set(retain) <= {*pair.values()}:
            faults.append(f"{where}[{number}]: leaves no author to retain; add a third file to data.retain")


def check_sequential(experiment: Config, plugins: Plugins, where: str) -> None:
    """The requests in sequence of a merged experiment; none of them, and nothing is asked of the rest.

    Raises:
        LunarError: as ``lunar.plan.experiments.resolve``.
    """
    requests, data = experiment["sequential"]["requests"], experiment["data"]
    if not requests:
        return
    serving = {name for name, recipe in plugins.methods.items() if recipe.says.get("serves_requests")}
    exact = [name for name, method in experiment["methods"].items() if method.get("recipe") in serving]
    faults = Faults()
    for number, name in enumerate(experiment["sequential"]["methods"]):
        with faults:
            one_of(name, exact, f"{where}.sequential.methods[{number}]")
    for number, request in enumerate(requests):
        with faults:
            if request in data["forget"]:
                raise LunarError(
                    f"{where}.sequential.requests[{number}]: {request} is in data.forget, which is the first request "
                    "already; name files of data.retain, or [] for no requests"
                )
            one_of(request, data["retain"], f"{where}.sequential.requests[{number}]")
    if not set(data["retain"]) - set(requests):
        faults.append(f"{where}.sequential.requests: name every file of data.retain; leave one to be kept")
    faults.end()
