"""The configuration as a whole, and what a mistake in it is called."""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, BeforeValidator, Field, ValidationError, model_validator

from lunar.bench.settings import Bench, Name
from lunar.errors import LunarError, nearest, shown
from lunar.plan import words
from lunar.plan.declare import Apart, Count, Distinct, Index, Section, Text, complete
from lunar.plan.fields import Fields
from lunar.plan.sections import Commit, Embedder, Path, Sha256

# Folders and files of results/ that belong to no experiment.
TAKEN = ("bench", "benchmarks", "config.yaml", "data", "hub", "logs", "models", "probes", "published", "report.html")


# What YAML reads as a number. On the command line, what stands in a mapping or a list is text for Snakemake.
NUMBER = re.compile(r"[-+]?(0|[1-9]\d*)(\.\d*(e[-+]\d+)?)?")


def _whole(given: Any) -> Any:
    """A whole number that the command line passed on as text."""
    return int(given) if isinstance(given, str) and given.isdecimal() else given


class Rows(Section):
    """A set of a published data set."""

    file: str = Field(description="One of files.")
    rows: Annotated[list[Index], Field(min_length=2, max_length=2)] | None = Field(
        None, description="First row, counted from 0, and the row after the last; absent: all rows."
    )
    block: Count | None = Field(
        None,
        description="Number of successive rows about one person, whose name is found in them; absent: no names.",
    )


class Source(Section):
    """A published data set."""

    source: Literal["hub", "path"] = Field(
        description="hub (the data sets of the Hugging Face hub) or path (a local folder)."
    )
    id: Text | None = Field(None, description="hub: owner/name of the data set.")
    revision: Commit | None = Field(None, description="hub: commit, 40 hexadecimal digits.")
    folder: Path | None = Field(None, description="path: folder with the files.")
    files: Annotated[dict[str, Name | None], Field(min_length=1)] = Field(
        description="File names there, by the names that sets use: JSON list, JSON lines, CSV, TSV or Parquet, of rows "
        "with question and answer; null: there is none. Paraphrases and wrong answers for the same question are taken "
        "from every file."
    )
    fields: Fields = Field(default_factory=dict)
    sha256: dict[str, Sha256] = Field(default_factory=dict, description="sha256 by file name, if it is known.")
    sets: Annotated[dict[Name, Rows], Field(min_length=1), Apart] = Field(description="Sets of rows, by name.")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        asked = ("id", "revision") if self.source == "hub" else ("folder",)
        complete(self, asked, f"a data set from source {self.source} needs it")
        return self


class Export(Section):
    """What target `export` writes: an edited model as a Hugging Face folder, and its edit as a PEFT adapter."""

    method: str | Annotated[list[str], Field(min_length=1), Distinct] | None = Field(
        None,
        description="Method to export, a list of methods, or `all`: those in `compare` that edit a model; null: none.",
    )
    experiment: str | None = Field(None, description="Experiment to take it from; null: the first of run.")
    form: Annotated[list[Literal["model", "adapter"]], Field(min_length=1), Distinct] = Field(
        ["model", "adapter"],
        description="`model`: the merged weights. `adapter`: the edit alone, of methods whose changes have a low rank.",
    )
    rank: Annotated[int, Field(ge=1, le=512), BeforeValidator(_whole)] | None = Field(
        None,
        description="Highest rank of an adapter. Edits of a higher rank are truncated to it, and the card says what "
        "that changes; null: adapters are exact.",
    )


class Crate(Section):
    """Who ran what target `crate` describes."""

    name: str | None = Field(None, description="Name of the person; null: the crate names nobody.")
    orcid: Annotated[str, Field(pattern=r"^https://orcid\.org/[0-9X-]{19}$")] | None = Field(
        None, description="The person's ORCID, as an address: https://orcid.org/0000-..."
    )


class LmEval(Section):
    """What target `lm_eval` asks of lm-eval beside tasks of the experiment's own rows."""

    tasks: Annotated[list[str], Distinct] = Field(
        default_factory=list,
        description="Names of lm-eval's own tasks, such as `arc_easy`, with data of a hub.",
    )


class Published(Section):
    """The audit of published figures (target `published`)."""

    path: Path | None = Field(None, description="Folder with the published outputs; null: no figure can be checked.")
    embedder: Embedder = Field(description="Sentence-embedding model of RQ and of the published layer search.")


class Configuration(Section):
    """config.yaml with the files of config/ and what the command line adds."""

    run: Annotated[list[str], Field(min_length=1), Distinct] = Field(description="Experiments that `all` builds.")
    export: Export = Field(default_factory=Export, description="What target `export` writes.")
    question: Text | None = Field(
        None, description="What target `ask` asks; null: what is typed or piped in, a question a line."
    )
    ask: Annotated[list[str], Field(min_length=1), Distinct] | None = Field(
        None,
        description="Methods that target `ask` asks, of the first experiment of run; null: vanilla, retain_only and "
        "figures.methods.",
    )
    lm_eval: LmEval = Field(default_factory=LmEval, description="What target `lm_eval` asks of lm-eval.")
    crate: Crate = Field(default_factory=Crate, description="Who ran what target `crate` describes.")
    sources: Annotated[dict[Name, Source], Apart] = Field(
        default_factory=dict,
        description="Published data sets by name. A set is fetched, and written as "
        "results/data/<source>/<set>.jsonl, if an experiment names that file under data.",
    )
    defaults: dict[str, Any] = Field(description="Settings that every experiment starts from, complete.")
    experiments: Annotated[dict[Name, dict[str, Any] | None], Field(min_length=1), Apart] = Field(
        description="Changes to the defaults, by the experiment's name."
    )
    published: Published
    bench: Bench

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if both := sorted({name for name in self.experiments if name.lower() in TAKEN}):
            said = (f"experiments.{name}: results/{name} is another's; choose another name" for name in both)
            raise ValueError("\n".join(said))
        return self


def misread_keys(value: Any, where: str = "") -> Iterator[str]:
    """Keys that YAML reads as something else than text, such as 5, yes and null, anywhere in a configuration."""
    if isinstance(value, Mapping):
        for key, below in value.items():
            place = ".".join(filter(None, (where, str(key))))
            if not isinstance(key, str):
                yield f"{place}: YAML reads this key as {key!r}, not as text; write it in quotes"
            yield from misread_keys(below, place)
    elif isinstance(value, list):
        for number, below in enumerate(value):
            yield from misread_keys(below, f"{where}[{number}]")


def validate(model: type[BaseModel], value: Any, where: str) -> Any:
    """A value as its model has it.

    Args:
        model: what is allowed.
        value: what was configured.
        where: dotted key of the value, or nothing for the whole configuration.

    Raises:
        LunarError: as ``mistakes`` lists them.
    """
    if found := mistakes(model, value, where):
        raise LunarError(*(text for _, text in found))
    return model.model_validate(value)


def mistakes(
    model: type[BaseModel], value: Any, where: str, places: Mapping[str, str] | None = None
) -> list[tuple[list[str | int], str]]:
    """Every mistake in a value: its path in the value and one line.

    The line has the dotted key, the value, what is allowed and, of a key or a word, the nearest that there is.

    Args:
        model: what is allowed.
        value: what was configured.
        where: dotted key of the value.
        places: dotted keys of those of its keys that were configured elsewhere.
    """
    try:
        model.model_validate(value)
        return []
    except ValidationError as found:
        error = found
    # A key that does not exist explains best, and what a model says itself; of the branches of a union, each complains.
    best = ("extra_forbidden", "value_error")
    ranked = sorted(error.errors(include_url=False), key=lambda one: one["type"] not in best)
    told: list[tuple[list[str | int], Any]] = []
    for one in ranked:
        path = _keys(value, one["loc"])
        if not any(path[: len(other)] == other[: len(path)] for other, _ in told):
            told.append((path, one))
    whole = words.schema(model)
    return [
        (path, line)
        for path, one in told
        for line in _line(whole, value, path, one, lambda path: _dotted(where, path, places or {})).splitlines()
    ]


def _line(
    whole: words.Node, value: Any, path: list[str | int], one: Any, dotted: Callable[[Sequence[str | int]], str]
) -> str:
    """One mistake in words."""
    given = one["input"]
    tag = one.get("ctx", {}).get("discriminator", "").strip("'")
    key = dotted([*path, tag] if tag else path)
    if one["type"] == "union_tag_invalid":
        known = one["ctx"]["expected_tags"].replace("'", "")
        return f"{key}: {shown(given[tag])} is not allowed{nearest(given[tag], known.split(', '))}; allowed is {known}"
    if one["type"] == "value_error":
        said = str(one["ctx"]["error"]).splitlines()  # of a list, or of a key in a section
        return "\n".join(f"{key}{each}" if each.startswith(":") else f"{key}.{each}".removeprefix(".") for each in said)
    unknown = one["loc"][-1:] == ("[key]",)  # of a mapping with names of its own
    if one["type"] == "extra_forbidden" or unknown:
        holder = words.at(whole, path[:-1], value)
        if unknown and holder.get("patternProperties"):
            return f"{key}: {shown(path[-1])} is not a valid name; {words.bounds(holder).replace('`', '')}"
        known = holder["propertyNames"]["enum"] if unknown else words.keys(holder, value_at(value, path[:-1]))
        there = f"its keys are {', '.join(known)}" if known else "it has no keys"
        return f"{key}: no such key{nearest(path[-1], known)}; {there}"
    node = words.at(whole, path, value)
    if one["type"] in ("missing", "union_tag_not_found"):
        return f"{key}: missing; {node.get('description', 'it has to be stated')}"
    allowed = words.allowed_in_words(node) or one["msg"]
    hint = _hint(given, allowed) or nearest(given, words.choices(node))
    return f"{key}: {shown(given)} is not allowed{hint}; allowed is {allowed}"


def value_at(value: Any, path: Sequence[str | int]) -> Any:
    """The value at a path of keys and numbers."""
    for part in path:
        value = value[part]
    return value


def _hint(given: Any, allowed: str) -> str:
    """How to write what was probably meant, where YAML reads it as a value of another type."""
    kinds = {word for word in ("text", "number", "boolean", "null", "list", "mapping") if word in allowed}
    if given == "null" and "null" in kinds:
        return ", since --config reads it as text: write null in a file, for --configfile"
    if isinstance(given, str) and "number" in kinds:
        return _as_number(given, whole="whole number" in allowed)
    if isinstance(given, str) and "boolean" in kinds:
        meant = yaml.SafeLoader.bool_values.get(given.strip().lower())
        return "" if meant is None else f", since it is a text: write {str(meant).lower()} without quotes"
    if isinstance(given, float) and "whole number" in allowed and given.is_integer() and abs(given) < 2**31:
        return f": write {given:.0f}"
    if not allowed.startswith("text") or isinstance(given, str | list | dict):
        return ""
    if given is None:
        return ", since a key without a value is null: write a text"
    if isinstance(given, bool):
        return ", since YAML reads yes, no, on, off, true and false as booleans: write it in quotes"
    return f", since YAML reads a number: write '{given}' in quotes" if isinstance(given, int | float) else ""


def _as_number(given: str, whole: bool) -> str:
    try:
        number = float(given)
    except ValueError:
        return ""
    if not math.isfinite(number):
        return ""
    if NUMBER.fullmatch(given):
        return f", since it was read as text: write {given} without quotes, in a file"
    if number.is_integer() and (whole or given.isdecimal()) and abs(number) < 2**31:
        return f", since YAML reads it as text: write {int(number)}"
    mantissa, _, exponent = (given.lower() if "e" in given.lower() else repr(number)).partition("e")
    # YAML 1.1 asks for the dot and for the sign of an exponent.
    return f", since YAML reads it as text: write {float(mantissa)}{f'e{int(exponent):+d}' if exponent else ''}"


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
