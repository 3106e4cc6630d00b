"""The configuration beyond what its schema can say. Imports nothing heavy: it runs on every parse of the Snakefile."""

import ast
import difflib
import itertools
from collections.abc import Container, Iterable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from lunar.errors import LunarError
from lunar.files import write_text
from lunar.model import mixture

Config = dict[str, Any]

# Figures of curves under attack, and the class whose attacks are the panels of each; the class that rounds weights, and
# the one that is given what a solve read.
CURVES = {"relearning": "relearn", "layer_skip": "layer_skip", "sampling": "sampling", "logit_lens": "logit_lens"}
QUANTISED = "quantise"
INVERTED = "invert"
# And the one whose attacker has the model from before fine-tuning.
AMPLIFIED = "amplify"
# The recipes that have a block see somebody else, and what they are told.
_TOLD = ("blocks", "factor", "keep", "ridge")
ENTITY = {"entity": _TOLD, "entity_refusal": ("direction", *_TOLD)}
REVERSION = "reversion"  # the recipe that goes back to the model from before fine-tuning
SERVED_IN_SEQUENCE = ("redirection", *ENTITY)  # recipes in closed form

# Sections that methods are fitted to: an experiment with its own drops those of the defaults that do not fit.
FITTED = {"data", "layers", "prompts", "rehearsal"}


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> Config:
    """``base`` with ``over`` laid on it, key by key; anything but a mapping is replaced whole."""
    result = deepcopy(dict(base))
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merge(result[key], value) if both else deepcopy(value)
    return result


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


def _one_of(value: Any, allowed: Iterable[Any], where: str) -> None:
    names = [str(name) for name in allowed]
    if str(value) not in names:
        close = difflib.get_close_matches(str(value), names, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        known = f"is none of {', '.join(names)}" if names else "is not known: there is none yet"
        raise LunarError(f"{where}: {value!r} {known}{hint}")


def resolve(config: Mapping[str, Any], recipes: Iterable[str], made: Container[str] = ()) -> dict[str, Config]:
    """Every experiment, merged over the defaults and checked; each with one ``seed``.

    ``recipes`` are those that methods may name (the function of that name finds them). An experiment of several
    ``seeds`` is there once a seed: as itself with the first, as ``name@seed`` with others. ``made`` are files that the
    workflow makes; all other data files have to be there.

    Raises:
        LunarError: names the key, its value and what is allowed.
    """
    experiments = {}
    for name, over in config["experiments"].items():
        over = over or {}
        base = config["defaults"]
        # A model of another source shares no key with the default one; what is left of it would be noise.
        if "source" in over.get("model", {}):
            base = {key: value for key, value in base.items() if key != "model"}
        # Nor do files of authors who play a part belong to other data.
        if "retain" in over.get("data", {}):
            base = merge(base, {"rehearsal": {"authors": []}, "sequential": {"requests": []}})
        experiment = merge(base, over)
        for part in ("rungs", "asides") if experiment["ladder"] else ():
            steps = experiment["ladder"].get(part, {})
            experiment["ladder"][part] = {step: change for step, change in steps.items() if change is not None}
        for method, change in over.get("methods", {}).items():
            experiment["methods"][method] = settle(experiment["methods"][method], change)
        # Before they are climbed: a mistake in an end of the ladder would be named as one of the ladder.
        for method, entry in list(experiment["methods"].items()):
            try:
                check_method(entry, experiment, recipes, f"experiments.{name}.methods.{method}")
            except LunarError:
                if method in used(experiment) | set(over.get("methods", {})) or not FITTED & set(over):
                    raise
                del experiment["methods"][method]
        experiment["methods"] |= climb(experiment, f"experiments.{name}")
        check(experiment, recipes, made, f"experiments.{name}")
        for number, seed in enumerate(experiment["seeds"]):
            one = name if number == 0 else f"{name}@{seed}"
            experiments[one] = experiment | {"seed": seed}
    for name in config["run"]:
        _one_of(name, experiments, "run")
    models: dict[str, tuple[str, Any]] = {}
    for name, experiment in experiments.items():
        model = experiment["model"]
        first, spec = models.setdefault(model["name"], (name, model))
        if spec != model:
            raise LunarError(
                f"experiments.{name}.model.name: {model['name']!r} is also the model of {first!r}, with other "
                "settings; models of one name are one folder, so give one of them another name"
            )
    return experiments


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
        found = {*entry.get("choices", {}), entry.get("base"), entry.get("direction", {}).get("base")} - {None}
        todo += found - names
        names |= found
    return names


def replaced(experiment: Mapping[str, Any]) -> dict[str, dict[str, list[str]]]:
    """Where the subject of forget questions is to be replaced: in the forget set, and in rehearsals of such methods.

    Returns:
        By place the ``files`` of these questions, and ``by`` which methods and attacks; empty where nothing does so.
    """
    methods, attacked = experiment["methods"], experiment["attacked"]
    attacks = attacked["attacks"] if attacked["methods"] else []
    run = used(experiment) | {*(attacked["methods"] if attacks else ())}
    edits = [name for name in methods if name in run and methods[name].get("recipe") in ENTITY]
    by = [*edits, *(name for name in attacks if experiment["attacks"][name]["attack"] == INVERTED)]
    found = {"forget": {"files": experiment["data"]["forget"], "by": by}} if by else {}
    for name in (name for name in edits if "grid" in methods[name]):
        for pair in experiment["rehearsal"]["authors"][: methods[name].get("rehearsals")]:
            place = f"rehearsal on {pair['forget']}"
            found.setdefault(place, {"files": [pair["forget"]], "by": []})["by"].append(name)
    return found


def settle(method: Mapping[str, Any], change: Mapping[str, Any]) -> Config:
    """A method on which ``change`` was merged: a key it states leaves the grid, one in its grid is no longer stated.

    Otherwise an experiment could neither settle what the defaults choose in rehearsal nor choose what they state.
    """
    chosen = change.get("grid", {})
    grid = {key: values for key, values in method.get("grid", {}).items() if key in chosen or key not in change}
    rest = {key: value for key, value in method.items() if key != "grid" and (key in change or key not in chosen)}
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
        _one_of(ladder[end], methods, f"{where}.ladder.{end}")
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


def check(experiment: Config, recipes: Iterable[str], made: Container[str], where: str) -> Config:
    """One merged experiment, checked for what depends on more than one key; returned as it came.

    Raises:
        LunarError: as ``resolve``.
    """
    if set(experiment["methods"].get("vanilla", {})) != {"model"}:
        raise LunarError(f"{where}.methods.vanilla: must be there, with a model and no edit; all else starts from it")
    files = experiment["data"]
    for key, value in files.items():
        for path in value if isinstance(value, list) else [value]:
            if path not in made and not Path(path).is_file():
                raise LunarError(f"{where}.data.{key}: no file {path} (paths are relative to the work folder)")
    for number, name in enumerate(experiment["compare"]):
        _one_of(name, experiment["methods"], f"{where}.compare[{number}]")
    for name, method in experiment["methods"].items():
        check_method(method, experiment, recipes, f"{where}.methods.{name}")
        if name in experiment["compare"] and not experiment["finetune"]["enabled"]:
            lacking = "fine-tuned without the forget set" if method["model"] == "retain_only" else None
            lacking = "from before fine-tuning" if method.get("recipe") == REVERSION else lacking
            if lacking:
                raise LunarError(
                    f"{where}.compare: {name!r} needs a model {lacking}, but finetune.enabled is false; "
                    "leave it out of compare"
                )
    for number, rehearsal in enumerate(experiment["rehearsal"]["authors"]):
        for key in ("forget", "held_out"):
            _one_of(rehearsal[key], experiment["data"]["retain"], f"{where}.rehearsal.authors[{number}].{key}")
        if rehearsal["forget"] == rehearsal["held_out"]:
            raise LunarError(
                f"{where}.rehearsal.authors[{number}]: forgets and holds out the same file; name two of data.retain"
            )
        if set(experiment["data"]["retain"]) <= {*rehearsal.values()}:
            raise LunarError(
                f"{where}.rehearsal.authors[{number}]: leaves no author to retain; add a third file to data.retain"
            )
    for number, name in enumerate(experiment["figures"]["methods"]):
        edited = [one for one, method in experiment["methods"].items() if "recipe" in method]
        _one_of(name, edited, f"{where}.figures.methods[{number}]")
    if experiment["mixture"] is not None:
        if not experiment["finetune"]["enabled"]:
            raise LunarError(f"{where}.mixture: a study of fine-tuning, and finetune.enabled is false; set it to null")
        try:
            mixture.points(experiment["mixture"])
        except LunarError as error:
            raise LunarError(f"{where}.{error}") from None
    if experiment["optimisers"] is not None:
        check_optimisers(experiment["optimisers"], experiment["methods"], f"{where}.optimisers")
    check_sequential(experiment, where)
    layers = experiment["layers"]
    if layers["top_k"] > len(layers["candidates"]):
        raise LunarError(
            f"{where}.layers.top_k: {layers['top_k']} is more than the {len(layers['candidates'])} candidates"
        )
    return experiment


def check_sequential(experiment: Config, where: str) -> None:
    """The requests in sequence of a merged experiment; none of them, and nothing is asked of the rest.

    Raises:
        LunarError: as ``resolve``.
    """
    requests, files = experiment["sequential"]["requests"], experiment["data"]
    if not requests:
        return
    exact = [name for name, method in experiment["methods"].items() if method.get("recipe") in SERVED_IN_SEQUENCE]
    for number, name in enumerate(experiment["sequential"]["methods"]):
        _one_of(name, exact, f"{where}.sequential.methods[{number}]")
    for number, request in enumerate(requests):
        if request in files["forget"]:
            raise LunarError(
                f"{where}.sequential.requests[{number}]: {request} is in data.forget, which is the first request "
                "already; name files of data.retain, or [] for no requests"
            )
        _one_of(request, files["retain"], f"{where}.sequential.requests[{number}]")
    if not set(files["retain"]) - set(requests):
        raise LunarError(f"{where}.sequential.requests: name every file of data.retain; leave one to be kept")


def check_method(method: Config, experiment: Config, recipes: Iterable[str], where: str) -> None:
    """One method of a merged experiment.

    Raises:
        LunarError: as ``resolve``.
    """
    if "model" not in method:
        raise LunarError(f"{where}.model: missing; say which fine-tuned model it starts from")
    if method.get("prompt") is not None:
        _one_of(method["prompt"], experiment["prompts"], f"{where}.prompt")
    for key, base in (("base", method.get("base")), ("direction.base", method.get("direction", {}).get("base"))):
        if base is not None:
            references = [name for name, other in experiment["methods"].items() if "recipe" not in other]
            _one_of(base, references, f"{where}.{key}")
    if "recipe" not in method:
        if extra := sorted(set(method) - {"model", "prompt"}):
            raise LunarError(
                f"{where}: {extra[0]} says how to edit the model, but there is no recipe; name one or leave it out"
            )
        return
    _one_of(method["recipe"], recipes, f"{where}.recipe")
    grid = method.get("grid", {})
    for key in sorted(set(grid) & set(method)):
        raise LunarError(f"{where}.grid.{key}: also stated as {where}.{key}; leave one of them")
    base = method.get("base", "vanilla")
    if grid and method.get("direction", {}).get("base", base) != base:
        raise LunarError(
            f"{where}.grid: a rehearsal collects the rehearsed author's activations under one prompt, that of {base}; "
            "leave direction.base out, or state the values instead"
        )
    if grid and not experiment["rehearsal"]["authors"]:
        raise LunarError(f"{where}.grid: nothing to choose on; name rehearsal.authors, or state the values instead")
    taken: dict[str, str] = {}
    for other, keys in method.get("choices", {}).items():
        _one_of(other, experiment["methods"], f"{where}.choices")
        for key in keys:
            here = f"{where}.choices.{other}.{key}"
            _one_of(key, experiment["methods"][other].get("grid", {}), f"{where}.choices.{other}")
            # What is chosen would silently take the place of what is stated.
            for place in [name for name, keys in ((where, method), (f"{where}.grid", grid)) if key in keys]:
                raise LunarError(f"{here}: also stated as {place}.{key}; leave one of them")
            if key in taken:
                raise LunarError(f"{here}: also taken from {taken[key]}; leave one of them")
            taken[key] = other
    if method["recipe"] == "redirection_gradient":
        if "solver" not in method:
            raise LunarError(f"{where}.solver: missing; the recipe redirection_gradient is told by it how to train")
        check_solver(method["solver"], f"{where}.solver")
    if "direction" in method:
        missing = [key for key in ("coefficient", "redirect", "keep", "ridge", "layers") if key not in told(method)]
        if missing:
            raise LunarError(f"{where}: a method with a direction needs {', '.join(missing)} too")
    needed = ENTITY.get(method["recipe"], ())
    if missing := [key for key in needed if key not in told(method)]:
        raise LunarError(f"{where}: the recipe {method['recipe']} needs {', '.join(missing)} too")
    refused = [name for name in ("fictitious", "harmful") if name in method.get("keep", {})]
    if method["recipe"] == REVERSION:
        if missing := [key for key in ("threshold", "keep", "ridge") if key not in told(method)]:
            raise LunarError(f"{where}: the recipe {REVERSION} needs {', '.join(missing)} too")
    elif refused:
        raise LunarError(f"{where}.keep.{refused[0]}: only the recipe {REVERSION} keeps these rows; leave them out")
    if method["recipe"] == "entity" and "declined" in method.get("keep", {}):
        raise LunarError(f"{where}.keep.declined: the recipe entity brings no refusal about; leave declined out")
    places = [(method["layers"], f"{where}.layers")] if "layers" in method else []
    places += [(layers, f"{where}.grid.layers[{number}]") for number, layers in enumerate(grid.get("layers", []))]
    for layers, place in places:
        if isinstance(layers, str):
            _one_of(layers, ["best", "top_k"], place)
        elif not isinstance(layers, list):
            raise LunarError(f"{place}: {layers!r} is no list; each value is best, top_k or a list of blocks")
        else:
            for layer in layers:
                _one_of(layer, experiment["layers"]["candidates"], place)


def check_attacks(experiments: Mapping[str, Config], known: Iterable[str]) -> None:
    """The ``attacks`` and ``attacked`` sections of resolved experiments.

    ``known`` are the attacks that there are classes for.

    Raises:
        LunarError: as ``resolve``.
    """
    for name, experiment in experiments.items():
        where = f"experiments.{name}"
        for one, entry in experiment["attacks"].items():
            if one in ("none", "control"):
                raise LunarError(f"{where}.attacks.{one}: the name has a meaning of its own; choose another")
            _one_of(entry.get("attack"), known, f"{where}.attacks.{one}.attack")
        for number, one in enumerate(experiment["attacked"]["attacks"]):
            _one_of(one, experiment["attacks"], f"{where}.attacked.attacks[{number}]")
            if experiment["attacks"][one]["attack"] == AMPLIFIED and not experiment["finetune"]["enabled"]:
                raise LunarError(
                    f"{where}.attacked.attacks[{number}]: {one!r} needs a model from before fine-tuning, but "
                    "finetune.enabled is false; leave it out"
                )
        for number, one in enumerate(experiment["attacked"]["methods"]):
            _one_of(one, experiment["methods"], f"{where}.attacked.methods[{number}]")


def check_solver(solver: Config, where: str) -> None:
    """One ``solver`` section: a key that another one asks for is there.

    Raises:
        LunarError: as ``resolve``.
    """
    needed = ["optimiser", "learning_rate", "batch_size", "epochs", "schedule"]
    needed += ["momentum"] * (solver.get("optimiser") == "sgd") + ["decay"] * (solver.get("schedule") == "exponential")
    if missing := [key for key in needed if key not in solver]:
        raise LunarError(f"{where}.{missing[0]}: missing; a solver needs {', '.join(needed)}")


def check_optimisers(section: Config, methods: Mapping[str, Config], where: str) -> None:
    """The ``optimisers`` section of a merged experiment.

    Raises:
        LunarError: as ``resolve``.
    """
    stated = [
        name for name, entry in methods.items() if "direction" in entry and not {"grid", "choices"} & entry.keys()
    ]
    _one_of(section["method"], stated, f"{where}.method")
    for name, solver in section["solvers"].items():
        check_solver(solver, f"{where}.solvers.{name}")


def exported(config: Mapping[str, Any], experiments: Mapping[str, Config]) -> tuple[str, str]:
    """The experiment and the method that target ``export`` is asked for.

    Args:
        config: its ``method``, and its ``experiment`` or else the first of ``run``.
        experiments: as ``resolve`` gives them.

    Raises:
        LunarError: no method is named, or one, or an experiment, that is not there; says what is.
    """
    experiment = config.get("experiment") or config["run"][0]
    _one_of(experiment, experiments, "experiment")
    edited = [name for name, method in experiments[experiment]["methods"].items() if "recipe" in method]
    if not config.get("method"):
        raise LunarError(
            "method: say which one to export, such as `snakemake --cores all export --config method=lunar`; "
            f"{experiment} has {', '.join(edited)}"
        )
    _one_of(config["method"], edited, "method")
    return experiment, config["method"]


def told(entry: Mapping[str, Any]) -> set[str]:
    """The keys that a method has a value for: stated, in its grid, or taken from another method's rehearsal."""
    return {*entry, *entry.get("grid", {}), *itertools.chain(*entry.get("choices", {}).values())}


def recipes(folder: Path, package: str = "methods", decorator: str = "method") -> dict[str, str]:
    """Recipes by name, with the module that defines each: classes under ``@method("name")`` in ``lunar/methods``.

    Or those under another decorator in another package, such as attacks. The files are read, not imported: they need
    torch, which is not to be loaded while the Snakefile is parsed.

    Raises:
        LunarError: one name is defined twice.
    """
    found: dict[str, str] = {}
    for path in sorted((folder / "lunar" / package).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for call in node.decorator_list if isinstance(node, ast.ClassDef) else []:
                if isinstance(call, ast.Call) and getattr(call.func, "id", "") == decorator:
                    name = call.args[0].value if call.args and isinstance(call.args[0], ast.Constant) else None
                    if not isinstance(name, str):
                        raise LunarError(f"{path}:{call.lineno}: @{decorator} takes a name, as a literal text")
                    if name in found:
                        raise LunarError(f"{path}:{call.lineno}: the {decorator} {name!r} is also in {found[name]}")
                    found[name] = f"lunar.{package}.{path.stem}"
    return found


def value(settings: Mapping[str, Any], keys: Sequence[str], missing_ok: bool = False) -> Any:
    """The value at a path of keys, dictionaries in it sorted by key."""
    found: Any = settings
    for key in keys:
        if missing_ok and key not in found:
            return None
        found = found[key]
    return _sorted(found)


def _sorted(found: Any) -> Any:
    if isinstance(found, Mapping):
        return {key: _sorted(found[key]) for key in sorted(found, key=str)}
    return found


def write_yaml(path: str | Path, config: Mapping[str, Any]) -> None:
    """Write a configuration as YAML."""
    write_text(path, yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True))
