"""Every experiment merged over the defaults and checked. Imports nothing heavy: each parse of the Snakefile runs it."""

from collections.abc import Callable, Container, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from lunar.data import files
from lunar.errors import Faults, LunarError
from lunar.files import write_text
from lunar.model import mixture
from lunar.plan import sections, yaml_files
from lunar.plan.entries import (
    Config,
    Plugins,
    check_attacks,
    check_blocks,
    check_choices,
    check_files,
    check_method,
    check_shape,
    one_of,
)
from lunar.plan.metrics import check_metrics
from lunar.plan.settings import mistakes, validate

# Sections that methods are fitted to: an experiment with its own drops those of the defaults that do not fit.
FITTED = {"data", "layers", "prompts", "rehearsal"}

# What an entry of methods may say as well as leave out, null being the same.
NULLABLE = ("recipe", "statistics_of", "choices", "rehearsals")


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> Config:
    """``base`` with ``over`` laid on it, key by key; anything but a mapping is replaced whole."""
    result = deepcopy(dict(base))
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merge(result[key], value) if both else deepcopy(value)
    return result


def with_files(folder: Path, config: Mapping[str, Any], *files: Path, read: Sequence[Path] = ()) -> Config:
    """The configuration laid on files, and these on the files of a folder and of the folders in it.

    Args:
        folder: with files that state what no other does.
        config: what lies on top.
        files: between these and the folder's.
        read: files that are in ``config`` already. They are looked through, since Snakemake takes the second of two
            keys of one name without a word.

    Raises:
        LunarError: as ``lunar.plan.yaml_files.mapping``, with what is wrong in all of them.
    """
    found: Config = {}
    faults = Faults()
    for path in (*sorted(folder.rglob("*.yaml")), *files):
        with faults:
            found = merge(found, yaml_files.mapping(path))
    for path in read:
        with faults:
            yaml_files.mapping(path)
    faults.end()
    return merge(found, config)


def override(base: Mapping[str, Any], change: Mapping[str, Any]) -> Config:
    """As ``merge``, but a null in ``change`` takes its key away."""
    result = deepcopy(dict(base))
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            below = result.get(key)
            result[key] = override(below if isinstance(below, Mapping) else {}, value)
        else:
            result[key] = deepcopy(value)
    return result


def resolve(
    config: Mapping[str, Any],
    plugins: Plugins,
    made: Container[str] = (),
    complete: Callable[[Config, Config], Config] = lambda over, defaults: over,
) -> dict[str, Config]:
    """Every experiment, merged over the defaults and checked; each with one ``seed``.

    An experiment of several ``seeds`` is there once a seed: as itself with the first, as ``name@seed`` with others.

    Args:
        config: the configuration, valid as a whole (``lunar.plan.settings.Configuration``).
        plugins: what methods, attacks and metrics there are.
        made: files that the workflow makes; all other files have to be there.
        complete: fills an experiment's gaps before it is merged over the defaults.

    Raises:
        LunarError: names the key of each fault, its value and what is allowed. A fault that experiments inherit is told
            once, as one of ``defaults``.
    """
    defaults, experiments, faults = config["defaults"], {}, Faults()
    _, inherited = one({}, defaults, plugins, made, "defaults", complete)
    with faults:
        validate(sections.Experiment, defaults, "defaults")
    wrong: dict[str, list[str]] = {}
    for name, over in config["experiments"].items():
        experiment, found = one(over or {}, defaults, plugins, made, f"experiments.{name}", complete)
        for fault in found:
            as_inherited = fault.replace(f"experiments.{name}.", "defaults.")
            wrong.setdefault(name, []).append(as_inherited if as_inherited in inherited else fault)
        for number, seed in enumerate(experiment["seeds"] if not found else [0]):
            experiments[name if number == 0 else f"{name}@{seed}"] = experiment | {"seed": seed}
    for name in sorted(wrong, key=lambda name: name not in config["run"]):
        faults += wrong[name]
    for number, name in enumerate(config["run"] if isinstance(config["run"], list) else []):
        with faults:
            if isinstance(name, str) and name.partition("@")[0] not in wrong:
                one_of(name, experiments, f"run[{number}]" if len(config["run"]) > 1 else "run")
    faults.end()
    models: dict[str, tuple[str, Any]] = {}
    for name, experiment in experiments.items():
        model = experiment["model"]
        first, spec = models.setdefault(model["name"].casefold(), (name, model))
        if spec != model:
            faults.append(
                f"experiments.{name}.model.name: {model['name']!r} is also the model of {first!r}, with other "
                "settings; models of one name are one folder, so give one of them another name"
            )
    faults.end()
    return experiments


def one(
    over: Config,
    defaults: Config,
    plugins: Plugins,
    made: Container[str],
    where: str,
    complete: Callable[[Config, Config], Config],
) -> tuple[Config, list[str]]:
    """One experiment as ``resolve`` has it, and all that is wrong with it; complete only where nothing is.

    A key with a mistake in it is left to the defaults, so that what depends on several keys can be looked at as well.
    """
    model = sections.Experiment
    experiment = on_defaults(over, defaults)
    faults = Faults(text for _, text in mistakes(model, experiment, where))
    told = tuple(faults)
    try:
        over = complete(over, defaults)
        experiment = on_defaults(over, defaults)
        with faults:
            if not told:
                checked = validate(model, experiment, where).model
                experiment["model"]["disk_gb"] = checked.disk_gb
                experiment["model"] |= {"date": checked.date} if checked.date else {}  # YAML may have read a date
            experiment = _resolved(experiment, over, plugins, made, where)
    except (AttributeError, KeyError, TypeError, ValueError):
        if not told:  # or else it stumbled over what has been told
            raise
    # What follows from a value that is not allowed is no fault of its own.
    keys = tuple(text.partition(": ")[0] for text in told)
    return experiment, [text for text in faults if text in told or not text.startswith(keys)]


def _resolved(experiment: Config, over: Config, plugins: Plugins, made: Container[str], where: str) -> Config:
    """An experiment that has the form it needs, with its ladder's methods, checked.

    Raises:
        LunarError: as ``resolve``.
    """
    faults = Faults()
    for part in ("rungs", "asides") if experiment["ladder"] else ():
        steps = experiment["ladder"].get(part, {})
        experiment["ladder"][part] = {step: change for step, change in steps.items() if change is not None}
    if experiment["ladder"] and not experiment["ladder"]["rungs"]:
        raise LunarError(f"{where}.ladder.rungs: all are null; state one, or set the ladder to null")
    for method, entry in experiment["methods"].items():
        with faults:
            check_shape(entry, f"{where}.methods.{method}")
    shaped = not faults
    with faults:
        check_attacks(experiment, plugins.attacks, where)
    with faults:
        check_metrics(experiment["metrics"], plugins, f"{where}.metrics")
    if not shaped:
        faults.end()
    for method, entry in experiment["methods"].items():
        experiment["methods"][method] = settle(entry, over.get("methods", {}).get(method, {}))
    # Before they are climbed: a mistake in an end of the ladder would be named as one of the ladder.
    for method, entry in list(experiment["methods"].items()):
        try:
            check_method(entry, experiment, plugins.methods, f"{where}.methods.{method}")
        except LunarError as error:
            if method in used(experiment) | set(over.get("methods", {})) or not FITTED & set(over):
                faults.extend(error.args)
                continue
            del experiment["methods"][method]
            attacked = experiment["attacked"]
            if "methods" not in over.get("attacked", {}):
                attacked["methods"] = [name for name in attacked["methods"] if name != method]
    authors = experiment["rehearsal"]["authors"]
    for method, entry in (over or experiment).get("methods", {}).items():
        asked = entry.get("rehearsals")
        if isinstance(asked, int) and asked > len(authors) > 0:
            said = f"but rehearsal.authors has {len(authors)}; name more there, or state less here"
            faults.append(f"{where}.methods.{method}.rehearsals: {asked}, {said}")
    sound = not faults
    with faults:
        if sound:
            experiment["methods"] |= climb(experiment, where)
    with faults:
        check(experiment, plugins, made, where, sound and not faults)
    faults.end()
    return experiment


def states(over: Mapping[str, Any], section: str, key: str) -> bool:
    """Whether an experiment's own entry has a key in a section."""
    return isinstance(over.get(section), Mapping) and key in over[section]


def on_defaults(over: Mapping[str, Any], defaults: Mapping[str, Any]) -> Config:
    """An experiment merged over the defaults, without those that do not fit its own model or data."""
    # A model of another source shares no key with the default one; what is left of it would be noise.
    if states(over, "model", "source"):
        defaults = {key: value for key, value in defaults.items() if key != "model"}
    # Nor do files of authors who play a part belong to other data.
    if states(over, "data", "retain"):
        defaults = merge(defaults, {"rehearsal": {"authors": []}, "sequential": {"requests": []}})
    return merge(defaults, over)


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


def replaced(experiment: Mapping[str, Any], plugins: Plugins) -> dict[str, dict[str, list[str]]]:
    """Where the subject of forget questions is to be replaced: in the forget set, and in rehearsals of such methods.

    Returns:
        By place the ``files`` of these questions, and ``by`` which methods and attacks; empty where nothing does so.
    """
    methods, attacked = experiment["methods"], experiment["attacked"]
    attacks = attacked["attacks"] if attacked["methods"] else []
    run = used(experiment) | {*(attacked["methods"] if attacks else ())}

    def replaces(known: Mapping[str, Any], name: str | None) -> bool:
        return name in known and bool(known[name].says.get("replaces_subject"))

    edits = [name for name in methods if name in run and replaces(plugins.methods, methods[name].get("recipe"))]
    by = [*edits, *(name for name in attacks if replaces(plugins.attacks, experiment["attacks"][name]["attack"]))]
    found = {"forget": {"files": experiment["data"]["forget"], "by": by}} if by else {}
    for name in (name for name in edits if "grid" in methods[name]):
        for pair in experiment["rehearsal"]["authors"][: methods[name].get("rehearsals")]:
            place = f"rehearsal on {pair['forget']}"
            found.setdefault(place, {"files": [pair["forget"]], "by": []})["by"].append(name)
    return found


def settle(method: Mapping[str, Any], change: Mapping[str, Any]) -> Config:
    """A method on which ``change`` was merged: a key it states leaves the grid, one in its grid is no longer stated.

    Otherwise an experiment could neither settle what the defaults choose in rehearsal nor choose what they state. A
    ``grid`` and others of ``NULLABLE`` are absent where they are null.
    """
    chosen, tried = change.get("grid") or {}, method.get("grid") or {}
    grid = {key: values for key, values in tried.items() if key in chosen or key not in change}
    rest = {key: value for key, value in method.items() if key != "grid" and (key in change or key not in chosen)}
    rest = {key: value for key, value in rest.items() if value is not None or key not in NULLABLE}
    return rest | ({"grid": grid} if grid else {})


def rungs(experiment: Mapping[str, Any]) -> dict[str, str]:
    """Methods of the ladder in its order, by the name of the rung; its ends are the methods that it goes between."""
    ladder = experiment["ladder"]
    *between, last = ladder["rungs"]
    return {"start": ladder["from"]} | {name: f"ladder-{name}" for name in between} | {last: ladder["to"]}


def asides(experiment: Mapping[str, Any]) -> dict[str, str]:
    """Methods that change one factor at the ladder's upper end, by the name of the factor."""
    return {name: f"ladder-{name}" for name in experiment["ladder"].get("asides", {})}


def climb(experiment: Mapping[str, Any], where: str) -> dict[str, Config]:
    """The methods that a ladder adds: each rung's change on top of those below it; asides on top of the last.

    Raises:
        LunarError: an end is no method, a name is given twice, or the rungs do not lead to the method they should.
    """
    if not experiment["ladder"]:
        return {}
    ladder, methods, found = experiment["ladder"], experiment["methods"], {}
    for end in ("from", "to"):
        one_of(ladder[end], methods, f"{where}.ladder.{end}")
    if both := sorted({"start", *ladder["rungs"]} & set(ladder.get("asides", {}))):
        raise LunarError(f"{where}.ladder.asides.{both[0]}: also the name of a rung; call one of them otherwise")
    if "start" in ladder["rungs"]:
        raise LunarError(f"{where}.ladder.rungs.start: the foot of the ladder is called so; call the rung otherwise")
    entry = {key: value for key, value in methods[ladder["from"]].items() if key != "grid"}
    places = rungs(experiment)
    for name in [*list(ladder["rungs"])[:-1], *ladder.get("asides", {})]:
        if (added := f"ladder-{name}") in methods:
            raise LunarError(f"{where}.methods.{added}: the ladder makes this method of {name!r}; rename one of them")
    for name, change in ladder["rungs"].items():
        entry = override(entry, change)
        found[places[name]] = entry
    # What the upper end chooses in rehearsal, the last rung takes over from there.
    del found[ladder["to"]]
    upper = methods[ladder["to"]]
    reached, wanted = (
        {key: value for key, value in one.items() if key not in ("grid", "choices")} for one in (entry, upper)
    )
    if reached != wanted:
        # A key that is there with null is not one that is absent.
        key = min(k for k in {*reached, *wanted} if (k in reached, reached.get(k)) != (k in wanted, wanted.get(k)))
        last, there = (repr(one[key]) if key in one else "absent" for one in (reached, wanted))
        raise LunarError(
            f"{where}.ladder: the rungs do not lead to {ladder['to']!r}; {key} is {last} on the last rung and {there} "
            "there; add or change a rung, or set the ladder to null"
        )
    for name, change in ladder.get("asides", {}).items():
        found[f"ladder-{name}"] = override(entry, change)
    return found


def check(experiment: Config, plugins: Plugins, made: Container[str], where: str, sound: bool) -> None:
    """One merged experiment, checked for what depends on more than one key.

    Args:
        experiment: what is checked.
        plugins: what methods, attacks and metrics there are.
        made: files that the workflow makes.
        where: dotted key of the experiment.
        sound: nothing was found wrong with entries of methods, attacks and metrics, nor with the ladder.

    Raises:
        LunarError: as ``resolve``.
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
    sound = sound and len(faults) == before
    if sound:
        with faults:
            check_choices(methods, where)
    for name in experiment["compare"] if not experiment["finetune"]["enabled"] else ():
        method = methods.get(name, {})
        lacking = "fine-tuned without the forget set" if method.get("model") == "retain_only" else None
        recipe = plugins.methods.get(method.get("recipe", ""))
        lacking = "from before fine-tuning" if recipe and "model_before" in recipe.needs else lacking
        if lacking:
            faults.append(
                f"{where}.compare: {name!r} needs a model {lacking}, but finetune.enabled is false; "
                "leave it out of compare"
            )
    check_rehearsals(experiment, faults, f"{where}.rehearsal.authors")
    edited = [name for name, method in methods.items() if "recipe" in method]
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
            check_blocks(experiment, plugins, used(experiment) | set(experiment["attacked"]["methods"]), where)
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
        LunarError: as ``resolve``.
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


def exported(config: Mapping[str, Any], experiments: Mapping[str, Config]) -> tuple[str, str]:
    """The experiment and the method that target ``export`` is asked for.

    Args:
        config: its ``export`` section: ``method``, and ``experiment`` or else the first of ``run``.
        experiments: as ``resolve`` gives them.

    Raises:
        LunarError: no method is named, or one, or an experiment, that is not there; says what is.
    """
    asked = config.get("export") or {}
    experiment = asked.get("experiment") or config["run"][0]
    one_of(experiment, experiments, "export.experiment")
    edited = [name for name, method in experiments[experiment]["methods"].items() if "recipe" in method]
    if not asked.get("method"):
        raise LunarError(
            "export.method: say which one, such as `snakemake --cores all export --config export='{method: lunar}'`; "
            f"{experiment} has {', '.join(edited)}"
        )
    one_of(asked["method"], edited, "export.method")
    return experiment, asked["method"]


def value(settings: Mapping[str, Any], keys: Sequence[str]) -> Any:
    """The value at a path of keys, dictionaries in it sorted by key."""
    found: Any = settings
    for key in keys:
        found = found[key]
    return _sorted(found)


def _sorted(found: Any) -> Any:
    if isinstance(found, Mapping):
        return {key: _sorted(found[key]) for key in sorted(found, key=str)}
    return found


def write_yaml(path: str | Path, config: Mapping[str, Any]) -> None:
    """Write a configuration as YAML."""
    write_text(path, yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True))
