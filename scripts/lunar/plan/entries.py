"""Entries of methods, attacks and metrics, checked against what their files declare and against one another."""

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from lunar.errors import Faults, LunarError, nearest, shown
from lunar.plan import checkpoints, sections, size, words
from lunar.plan.declare import ENTRY, Count, Section
from lunar.plan.plugins import SAID_BY, Plugin, plugins
from lunar.plan.settings import mistakes, validate

Config = dict[str, Any]


@dataclass(frozen=True)
class Plugins:
    """All plug-ins by kind and name."""

    methods: Mapping[str, Plugin]
    attacks: Mapping[str, Plugin]
    answers: Mapping[str, Plugin]
    overall: Mapping[str, Plugin]

    @classmethod
    def found(cls, scripts: Path) -> "Plugins":
        """Those of the library in a folder.

        Raises:
            LunarError: as ``lunar.plan.plugins.plugins``.
        """
        kinds = (("methods", "method"), ("attacks", "attack"), ("metrics", "metric"), ("metrics", "overall"))
        methods, *others = (plugins(scripts, package, decorator) for package, decorator in kinds)
        return cls(methods | {checkpoints.RECIPE: checkpoints.PLUGIN}, *others)


class Entry(Section):
    """What an entry under `methods` may say besides the settings that its recipe declares."""

    model: Literal["full", "retain_only"] = Field("full", description="Fine-tuned model to start from.")
    prompt: str | None = Field(None, description="Entry of `prompts` for questions; null: the chat template.")
    recipe: str | None = Field(
        None,
        description="Class in scripts/lunar/methods that makes the edit, by name; checkpoint: a model that was "
        "unlearned elsewhere; absent: none.",
    )
    statistics_of: str | None = Field(
        None, description="Method without a recipe, on whose activations the edit is solved; absent: vanilla."
    )
    grid: Annotated[dict[str, Annotated[list[Any], Field(min_length=1)]], Field(min_length=1)] | None = Field(
        None, description="Values that rehearsals choose from, by setting."
    )
    choices: dict[str, Annotated[list[str], Field(min_length=1)]] | None = Field(
        None, description="Settings taken from another method's choice, by that method."
    )
    rehearsals: Count | None = Field(
        None, description="Pairs of rehearsal.authors, from the first, that try the grid; absent: all."
    )


def one_of(value: Any, allowed: Iterable[Any], where: str) -> None:
    """Refuse a name that is not there.

    Raises:
        LunarError: names the key, the value, what there is and the nearest of it.
    """
    names = [str(name) for name in allowed]
    if str(value) not in names:
        known = f"is none of {', '.join(names)}" if names else "is not known: there is none yet"
        raise LunarError(f"{where}: {shown(value)} {known}{nearest(value, names)}")


def check_shape(entry: Config, where: str) -> None:
    """What every entry may say, in the form that merging, settling and climbing read it in.

    Raises:
        LunarError: as ``check_method``.
    """
    validate(Entry, {key: value for key, value in entry.items() if key in ENTRY["method"]}, where)


def check_choices(methods: Mapping[str, Config], where: str) -> None:
    """Refuse methods whose values are chosen for one another in a circle.

    Raises:
        LunarError: names the circle.
    """
    try:
        TopologicalSorter({name: entry.get("choices", {}) for name, entry in methods.items()}).prepare()
    except CycleError as error:
        first, *rest = error.args[1][::-1]
        raise LunarError(
            f"{where}.methods.{first}.choices: goes in a circle ({' from '.join([first, *rest])}); "
            "state the values of one of them, or give it a grid"
        ) from None


def check_method(entry: Config, experiment: Config, recipes: Mapping[str, Plugin], where: str) -> None:
    """One method of a merged experiment.

    Raises:
        LunarError: names the key, its value and what is allowed.
    """
    named = checkpoints.ORIGINS if checkpoints.origin(entry) else ()
    own = {key: value for key, value in entry.items() if key in ENTRY["method"] or "recipe" not in entry}
    validate(Entry, {key: value for key, value in own.items() if key not in named}, where)
    faults, recipe = Faults(), entry.get("recipe")
    if entry.get("prompt") is not None:
        with faults:
            one_of(entry["prompt"], experiment["prompts"], f"{where}.prompt")
    if entry.get("statistics_of") is not None:
        unedited = [name for name, other in experiment["methods"].items() if "recipe" not in other]
        with faults:
            one_of(entry["statistics_of"], unedited, f"{where}.statistics_of")
    if recipe is not None:
        with faults:
            one_of(recipe, recipes, f"{where}.recipe")
    elif checkpoints.origin(entry):
        with faults:
            validate(checkpoints.Checkpoint, checkpoints.origin(entry), where)
    elif extra := sorted(set(entry) - {"model", "prompt", "recipe"}):
        said = "says how to edit the model, but no recipe is named; leave it out, or name a recipe"
        faults += [f"{where}.{key}: {said}" for key in extra]
    if recipe in recipes:
        with faults:
            _check_sources(entry, experiment, where)
        with faults:
            _check_settings(entry, experiment, recipes[recipe], where)
    faults.end()


def _check_sources(entry: Config, experiment: Config, where: str) -> None:
    """Where a method's values come from: each is stated, in its grid, or chosen for another, and only one of these.

    Raises:
        LunarError: as ``check_method``.
    """
    grid, faults = entry.get("grid", {}), Faults()
    for key in sorted(set(grid) & set(entry)):
        faults.append(f"{where}.grid.{key}: also stated as {where}.{key}; leave one of them, or set grid to null")
    if grid and not experiment["rehearsal"]["authors"]:
        faults.append(f"{where}.grid: nothing to choose on; name rehearsal.authors, or state the values instead")
    taken: dict[str, str] = {}
    for other, keys in entry.get("choices", {}).items():
        with faults:
            one_of(other, experiment["methods"], f"{where}.choices")
        for key in keys if other in experiment["methods"] else ():
            here = f"{where}.choices.{other}.{key}"
            with faults:
                one_of(key, experiment["methods"][other].get("grid", {}), f"{where}.choices.{other}")
            # What is chosen would silently take the place of what is stated.
            for place in [name for name, keys in ((where, entry), (f"{where}.grid", grid)) if key in keys]:
                faults.append(f"{here}: also stated as {place}.{key}; leave one of them")
            if key in taken:
                faults.append(f"{here}: also taken from {taken[key]}; leave one of them")
            taken[key] = other
    faults.end()


def _check_settings(entry: Config, experiment: Config, recipe: Plugin, where: str) -> None:
    """A method's settings by what its recipe declares, with each value of its grid in turn.

    Raises:
        LunarError: as ``check_method``.
    """
    grid, methods, faults = entry.get("grid", {}), experiment["methods"], Faults()
    planned = {SAID_BY[need] for need in recipe.needs & SAID_BY.keys()} - {"layers"}
    planned |= {"short_names"} if "statistics" in recipe.needs else set()  # statistics of a file of its own
    for key in sorted(planned & set(grid)):
        faults.append(f"{where}.grid.{key}: says what rehearsals are given; state it as {where}.{key} instead")
    chosen = {}
    for other, keys in entry.get("choices", {}).items():
        for key in sorted(planned & set(keys)):
            here = f"{where}.choices.{other}.{key}"
            faults.append(f"{here}: says what jobs are given; state it as {where}.{key} instead")
        there = methods.get(other, {}).get("grid", {})
        chosen |= {key: there[key][0] for key in keys if key in there}
    untold = [[key] for keys in entry.get("choices", {}).values() for key in keys if key not in chosen]
    stated = {key: value for key, value in entry.items() if key not in ENTRY["method"]} | chosen
    tried = [(key, number, value) for key, values in grid.items() for number, value in enumerate(values)]
    for key, number, value in tried or [("", 0, None)]:
        found = stated | {name: values[0] for name, values in grid.items()} | ({key: value} if key else {})
        places = {name: f"{where}.grid.{name}[0]" for name in grid}
        places |= {key: f"{where}.grid.{key}[{number}]"} if key else {}
        places |= {name: f"{where}.grid.{name}" for name in grid if name not in recipe.settings.model_fields}
        faults += [line for path, line in mistakes(recipe.settings, found, where, places) if path[:1] not in untold]
        layers, candidates = found.get("layers"), experiment["layers"]["candidates"]
        if (
            isinstance(layers, list)
            and "layers" in recipe.needs
            and (other := [n for n in layers if n not in candidates])
        ):
            none = f"none of layers.candidates ({', '.join(map(str, candidates))})"
            said = f"{other[0]} is {none}" if len(other) == 1 else f"{', '.join(map(str, other))} are {none}"
            faults.append(f"{places.get('layers', f'{where}.layers')}: {said}")
    faults.end()


def check_attacks(experiment: Config, known: Mapping[str, Plugin], where: str) -> None:
    """The ``attacks`` and ``attacked`` sections of a merged experiment.

    Raises:
        LunarError: as ``check_method``.
    """
    faults = Faults()
    for name, entry in experiment["attacks"].items():
        place, stated = f"{where}.attacks.{name}", {key: value for key, value in entry.items() if key != "attack"}
        if name in ("none", "control"):
            faults.append(f"{place}: the name is reserved; choose another")
        if "attack" not in entry:
            faults.append(f"{place}.attack: missing; it says which attack this is, of {', '.join(known)}")
            continue
        with faults:
            one_of(entry["attack"], known, f"{place}.attack")
            validate(known[entry["attack"]].settings, stated, place)
    attacked = experiment["attacked"]
    for number, name in enumerate(attacked["attacks"]):
        place = f"{where}.attacked.attacks[{number}]"
        with faults:
            one_of(name, experiment["attacks"], place)
            plugin = known.get(experiment["attacks"][name].get("attack", ""))
            if plugin and "model_before" in plugin.needs and not experiment["finetune"]["enabled"]:
                raise LunarError(
                    f"{place}: {name!r} needs a model from before fine-tuning, but finetune.enabled is false; "
                    "leave it out"
                )
    faults.end()


def forget_rows(experiment: Config, known: Mapping[str, Plugin]) -> dict[str, int]:
    """How many forget rows each attack needs at least, by its name, of those that need more than one.

    A setting says so of its values (``json_schema_extra``), as ``train_on`` of ``relearn`` does.
    """
    found = {}
    for name in experiment["attacked"]["attacks"] if experiment["attacked"]["methods"] else ():
        entry = experiment["attacks"][name]
        for key, node in words.schema(known[entry["attack"]].settings).get("properties", {}).items():
            if "forget_rows" in node and entry.get(key) in node["forget_rows"]:
                found[name] = node["forget_rows"][entry[key]]
    return found


def told(settings: type[Section], entry: Config) -> Config:
    """An entry with the defaults of what it leaves out; a setting of its grid is not left out."""
    fields = {key: field for key, field in settings.model_fields.items() if key not in entry.get("grid", {})}
    defaults = {
        key: field.get_default(call_default_factory=True) for key, field in fields.items() if not field.is_required()
    }
    return defaults | entry


def input_files(settings: type[Section], entry: Config) -> dict[str, list[str]]:
    """The files that an entry names, stated, by default or in its grid, by setting: inputs of the jobs that read them.

    Every setting that may name files has its key, also where it names none.
    """
    whole, found = told(settings, entry), {}
    for key, node in words.schema(settings).get("properties", {}).items():
        if "'input_file'" in str(node):
            values = [whole.get(key), *entry.get("grid", {}).get(key, [])]
            found[key] = [path for value in values for path in _files(node, value)]
    return found


def _files(node: words.Node, value: Any) -> list[str]:
    """The files that a value names, at any depth of its lists and mappings."""
    if isinstance(value, str):
        return [value] if any(branch.get("input_file") for branch in (node, *words.branches(node))) else []
    found = []
    for branch in words.branches(node):
        if isinstance(value, Mapping):
            below = [branch.get("additionalProperties"), *branch.get("patternProperties", {}).values()]
            named = branch.get("properties", {})
            held = [(named[key], one) if key in named else (below[-1], one) for key, one in value.items()]
        else:
            held = [(branch.get("items"), one) for one in value] if isinstance(value, list | tuple) else []
        found += [path for child, one in held if isinstance(child, dict) for path in _files(child, one)]
    return found


def named_files(experiment: Config, plugins: Plugins) -> Iterator[tuple[str, str]]:
    """Dotted key and path of each file that an entry of a method, an attack or a metric names."""
    for place, plugin, entry in _told(experiment, plugins):
        for key, paths in input_files(plugin.settings, entry).items():
            yield from ((f"{place}.{key}", path) for path in paths)


def check_files(experiment: Config, plugins: Plugins, made: Container[str], where: str) -> None:
    """Refuse an entry of a method, an attack or a metric that names a file which is neither there nor made.

    Raises:
        LunarError: as ``check_method``.
    """
    faults = Faults(
        f"{where}.{place}: no file {path} (paths are relative to the work folder)"
        for place, path in named_files(experiment, plugins)
        if path not in made and not Path(path).is_file()
    )
    faults.end()


def check_blocks(experiment: Config, plugins: Plugins, methods: Container[str], where: str) -> None:
    """Refuse a block that the model has not, where its number of blocks is known before it is fetched.

    Args:
        experiment: merged and otherwise checked.
        plugins: what methods, attacks and metrics there are.
        methods: those that the experiment runs; the defaults have more, of the shipped model's depth.
        where: dotted key of the experiment.

    Raises:
        LunarError: as ``check_method``.
    """
    blocks = size.stated(experiment["model"]).get("num_hidden_layers")
    if not isinstance(blocks, int) or blocks < 1:
        return
    whole = words.schema(sections.Experiment)
    found = list(words.marked(whole, {key: value for key, value in experiment.items() if key != "finetune"}, "block"))
    if experiment["finetune"]["enabled"]:
        found += words.marked(whole, {"finetune": experiment["finetune"]}, "block")
    for place, plugin, entry in _told(experiment, plugins):
        section, _, name = place.partition(".")
        if name in {"methods": methods, "attacks": experiment["attacked"]["attacks"]}.get(section, ()):
            schema = words.schema(plugin.settings)
            found += words.marked(schema, entry, "block", f".{place}")
            for key, values in entry.get("grid", {}).items():
                tried = {"items": schema.get("properties", {}).get(key, {})}
                found += words.marked(tried, values, "block", f".{place}.grid.{key}")
    said = f"but the model's blocks are numbered 0 to {blocks - 1}"
    faults = Faults(
        f"{where}{place}: {block}, {said}" for place, block in found if block is not None and block >= blocks
    )
    faults.end()


def _told(experiment: Config, plugins: Plugins) -> Iterator[tuple[str, Plugin, Config]]:
    """Key, plug-in and entry of each method, attack and metric."""
    for section, kind, known in (("methods", "recipe", plugins.methods), ("attacks", "attack", plugins.attacks)):
        for name, entry in experiment[section].items():
            if kind in entry:
                yield f"{section}.{name}", known[entry[kind]], entry
    for section, known in (("answers", plugins.answers), ("methods", plugins.overall)):
        for name, entry in experiment["metrics"][section].items():
            if entry is not None:
                yield f"metrics.{section}.{name}", known[name], entry
