"""Every experiment merged over the defaults and checked. Imports nothing heavy: each parse of the Snakefile runs it."""

from collections.abc import Callable, Container, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from lunar.errors import Faults, LunarError
from lunar.files import write_text
from lunar.plan import checkpoints, sections, yaml_files
from lunar.plan.consistency import check, used
from lunar.plan.entries import Config, Plugins, check_attacks, check_method, check_shape, one_of
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
    # A consequence of a value that is not allowed is not a further fault.
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
        settled = settle(entry, over.get("methods", {}).get(method, {}))
        experiment["methods"][method] = {"model": "full"} | settled
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


def _elsewhere(methods: Any) -> list[str]:
    """Entries of methods, which may be of any form, whose models were unlearned elsewhere."""
    found = methods if isinstance(methods, Mapping) else {}
    return [name for name in found if states(found, name, "recipe") and found[name]["recipe"] == checkpoints.RECIPE]


def on_defaults(over: Mapping[str, Any], defaults: Mapping[str, Any]) -> Config:
    """An experiment merged over the defaults, without those that do not fit its own model or data."""
    # A model of another source shares no key with the default one; what is left of it would be noise.
    if states(over, "model", "source"):
        defaults = {key: value for key, value in defaults.items() if key != "model"}
    # Nor does a model that was unlearned elsewhere with a default method of its name, which is made here.
    if elsewhere := [name for name in _elsewhere(over.get("methods")) if states(defaults, "methods", name)]:
        made = {name: entry for name, entry in defaults["methods"].items() if name not in elsewhere}
        defaults = {**defaults, "methods": made}
    # Nor do files of authors who play a part belong to other data.
    if states(over, "data", "retain"):
        defaults = merge(defaults, {"rehearsal": {"authors": []}, "sequential": {"requests": []}})
    return merge(defaults, over)


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


def exported(config: Mapping[str, Any], experiments: Mapping[str, Config]) -> tuple[str, list[tuple[str, str]]]:
    """The experiment that target ``export`` is asked for, and its methods, each with ``model`` or ``adapter``.

    No adapter is asked of a method that trains whole weights, unless a rank is stated or its adapter alone is named:
    then the job says how much an adapter would leave out.

    Args:
        config: its ``export`` section.
        experiments: as ``resolve`` gives them.

    Raises:
        LunarError: no method is named, or one, or an experiment, that is not there; says what is.
    """
    asked = config.get("export") or {}
    experiment = asked.get("experiment") or config["run"][0]
    one_of(experiment, experiments, "export.experiment")
    methods = experiments[experiment]["methods"]
    edited = [name for name, entry in methods.items() if "recipe" in entry and not checkpoints.origin(entry)]
    named, forms = asked.get("method"), asked.get("form") or ["model", "adapter"]
    if not named:
        raise LunarError(
            "export.method: say which one, such as `snakemake --cores all export --config export='{method: lunar}'`; "
            f"{experiment} has {', '.join(edited)}"
        )
    names = [named] if isinstance(named, str) else named
    if every := named == "all":
        names = [name for name in experiments[experiment]["compare"] if name in edited]
    for name in names:
        one_of(name, edited, "export.method")
    tried = asked.get("rank") or (forms == ["adapter"] and not every)
    found = [(name, form) for name in names for form in forms if tried or form == "model" or _low_rank(methods[name])]
    return experiment, found


def export_rank(config: Mapping[str, Any]) -> int | None:
    """The highest rank of an adapter; a number of the command line is text."""
    rank = (config.get("export") or {}).get("rank")
    return None if rank is None else int(rank)


def _low_rank(entry: Mapping[str, Any]) -> bool:
    """Whether a method's settings tell that it changes weights by matrices of low rank."""
    if "adapter" in entry:  # of methods that train
        return entry["adapter"] is not None
    # Momentum descent towards multiples of one vector stays within it; AdamW divides each weight's step by a number.
    solver = entry.get("solver") or {"optimiser": "sgd"}
    return solver["optimiser"] == "sgd" or solver.get("rank") is not None


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
