"""The configuration as a whole, and what a mistake in it is called."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, ValidationError, model_validator

from lunar.bench.settings import Bench, Name
from lunar.errors import LunarError, nearest, shown
from lunar.plan import words
from lunar.plan.declare import Apart, Count, Distinct, Index, Section, Text
from lunar.plan.sections import Commit, Embedder, Path, Sha256

# Folders and files of results/ that belong to no experiment.
TAKEN = ("bench", "benchmarks", "config.yaml", "data", "hub", "logs", "models", "probes", "published", "report.html")


class Rows(Section):
    """A set of a published data set."""

    file: str = Field(description="One of files.")
    rows: Annotated[list[Index], Field(min_length=2, max_length=2)] | None = Field(
        None, description="From which row, counted from 0, to before which; absent: all."
    )
    block: Count | None = Field(
        None,
        description="So many rows in turn are about one person, whose name is found in them; absent: no names.",
    )


class Source(Section):
    """A published data set."""

    source: Literal["hub", "path"] = Field(
        description="hub (the data sets of the Hugging Face hub) or path (a local folder)."
    )
    id: Text | None = Field(None, description="hub: owner/name of the data set.")
    revision: Commit | None = Field(None, description="hub: commit.")
    folder: Path | None = Field(None, description="path: folder with the files.")
    files: Annotated[dict[str, Name | None], Field(min_length=1)] = Field(
        description="File names there, by the name that sets call them by: a JSON list or JSON lines, of rows with "
        "question and answer; null: there is none. What one file adds to another's question (paraphrases, wrong "
        "answers) is taken over."
    )
    sha256: dict[str, Sha256] = Field(default_factory=dict, description="sha256 by file name, where it is known.")
    sets: Annotated[dict[Name, Rows], Field(min_length=1), Apart] = Field(description="Sets of rows, by name.")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        for key in ("id", "revision") if self.source == "hub" else ("folder",):
            if getattr(self, key) is None:
                raise ValueError(f"{key}: missing; a data set from source {self.source} needs it")
        return self


class Export(Section):
    """What target `export` writes as a Hugging Face folder."""

    method: str | None = Field(None, description="The method; null: none.")
    experiment: str | None = Field(None, description="The experiment that it is taken from; null: the first of run.")


class Published(Section):
    """The audit of published figures (target `published`)."""

    path: Path | None = Field(None, description="Folder with the published outputs; null: no figure can be checked.")
    embedder: Embedder = Field(description="Sentence-embedding model of RQ and of the published layer search.")


class Configuration(Section):
    """config.yaml with the files of config/ and what the command line adds."""

    run: Annotated[list[str], Field(min_length=1), Distinct] = Field(description="Experiments that `all` builds.")
    export: Export = Field(default_factory=Export, description="What target `export` writes.")
    sources: Annotated[dict[Name, Source], Apart] = Field(
        default_factory=dict,
        description="Published data sets by name: fetched, and written as results/data/<source>/<set>.jsonl where an "
        "experiment names such a file under data.",
    )
    defaults: dict[str, Any] = Field(description="What every experiment starts from; complete.")
    experiments: Annotated[dict[Name, dict[str, Any] | None], Field(min_length=1), Apart] = Field(
        description="What each experiment changes of the defaults, by name."
    )
    published: Published
    bench: Bench

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if both := sorted({name for name in self.experiments if name.lower() in TAKEN}):
            raise ValueError(f"experiments.{both[0]}: results/{both[0]} is another's; choose another name")
        return self


def check_keys(value: Any, where: str = "") -> None:
    """Refuse keys that YAML reads as something else than text, such as 5, yes and null, anywhere in a configuration.

    Raises:
        LunarError: names the first.
    """
    if isinstance(value, Mapping):
        for key, below in value.items():
            place = ".".join(filter(None, (where, str(key))))
            if not isinstance(key, str):
                raise LunarError(f"{place}: YAML reads this key as {key!r}, not as text; write it in quotes")
            check_keys(below, place)
    elif isinstance(value, list):
        for number, below in enumerate(value):
            check_keys(below, f"{where}[{number}]")


def validate(model: type[BaseModel], value: Any, where: str) -> Any:
    """A value as its model has it.

    Args:
        model: what is allowed.
        value: what was configured.
        where: dotted key of the value, or nothing for the whole configuration.

    Raises:
        LunarError: one line with the dotted key of the first mistake, the value, what is allowed and, of a key or a
            word, the nearest that there is.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise LunarError(mistake(model, value, where, error)) from None


def mistake(
    model: type[BaseModel], value: Any, where: str, error: ValidationError, places: Mapping[str, str] | None = None
) -> str:
    """The first mistake in one line.

    Args:
        model: what is allowed.
        value: what was configured.
        where: dotted key of the value.
        error: what pydantic found.
        places: dotted keys of those of its keys that were configured elsewhere.
    """
    found = error.errors(include_url=False)
    # A key that does not exist explains best, and what a model says itself; of the branches of a union, each complains.
    told = [one for kind in ("extra_forbidden", "value_error") for one in found if one["type"] == kind]
    first = [*told, *found][0]
    path, given, whole = _keys(value, first["loc"]), first["input"], words.schema(model)
    tag = first.get("ctx", {}).get("discriminator", "").strip("'")
    key = _dotted(where, [*path, tag] if tag else path, places or {})
    if first["type"] == "union_tag_invalid":
        known = first["ctx"]["expected_tags"].replace("'", "")
        return f"{key}: {shown(given[tag])} is not allowed{nearest(given[tag], known.split(', '))}; allowed is {known}"
    if first["type"] == "value_error":
        said = str(first["ctx"]["error"])  # of a list, or of a key in a section
        return f"{key}{said}" if said.startswith(":") else f"{key}.{said}".removeprefix(".")
    unknown = first["loc"][-1] == "[key]"  # of a mapping with names of its own
    if first["type"] == "extra_forbidden" or unknown:
        holder = words.at(whole, path[:-1], value)
        if unknown and holder.get("patternProperties"):
            return f"{key}: {shown(path[-1])} is no name; {words.bounds(holder).replace('`', '')}"
        known = holder["propertyNames"]["enum"] if unknown else words.keys(holder, _value(value, path[:-1]))
        there = f"its keys are {', '.join(known)}" if known else "it has no keys"
        return f"{key}: no such key{nearest(path[-1], known)}; {there}"
    node = words.at(whole, path, value)
    if first["type"] in ("missing", "union_tag_not_found"):
        return f"{key}: missing; {node.get('description', 'it has to be stated')}"
    allowed = words.allowed_in_words(node) or first["msg"]
    hint = _as_number(given) if "number" in allowed else ""
    if given == "null" and "null" in allowed:
        hint = ", since --config reads it as text: write null in a file, for --configfile"
    hint = hint or nearest(given, words.choices(node))
    return f"{key}: {shown(given)} is not allowed{hint}; allowed is {allowed}"


def _value(value: Any, path: Sequence[str | int]) -> Any:
    for part in path:
        value = value[part]
    return value


def _as_number(given: Any) -> str:
    try:
        number = float(given) if isinstance(given, str) else None
    except ValueError:
        number = None
    if number is None or not math.isfinite(number):
        return ""
    if given.isdecimal():
        return f", since YAML reads it as text: write {int(given)}"
    mantissa, _, exponent = f"{number:e}".partition("e")
    return f", since YAML reads it as text: write {float(mantissa)}e{int(exponent)}"


def _keys(value: Any, loc: Sequence[str | int]) -> list[str | int]:
    """The keys of a place in the value: pydantic's place without the names of a union's branches."""
    path: list[str | int] = []
    for number, part in enumerate(loc):
        here = isinstance(value, Mapping) and part in value
        here = here or (isinstance(value, Sequence) and not isinstance(value, str) and isinstance(part, int))
        if here and part != "[key]":
            path.append(part)
            value = value[part]
        elif isinstance(value, Mapping) and number == len(loc) - 1 and part != "[key]":
            path.append(part)  # missing there
    return path


def _dotted(where: str, path: Sequence[str | int], places: Mapping[str, str]) -> str:
    first, *rest = path or [""]
    said = places.get(str(first)) or ".".join(filter(None, (where, str(first))))
    dotted = said + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in rest)
    return dotted if dotted.isprintable() else repr(dotted)[1:-1]  # a message is one line
