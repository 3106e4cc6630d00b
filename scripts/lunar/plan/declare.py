"""What a plug-in declares: its settings, and what it needs. Imports no torch, so that planning can read it.

A method, an attack and a metric each stand in one file. The file holds a class (or a function) under a decorator, which
names it and says what it ``needs``. It also holds the settings, a pydantic model with type, default, bounds and
description. The workflow reads both from the file without importing it (``lunar.plan.plugins``).
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from lunar.errors import LunarError


def _distinct(values: list[Any]) -> list[Any]:
    if twice := [value for value in values if values.count(value) > 1]:
        raise ValueError(f": {twice[0]!r} is listed twice; leave one of them")
    return values


def _apart(names: dict[str, Any]) -> dict[str, Any]:
    known: dict[str, str] = {}
    for name in names:
        if (other := known.setdefault(name.casefold(), name)) != name:
            raise ValueError(f"{name}: some file systems take it for {other!r}; give one of them another name")
    return names


Apart = AfterValidator(_apart)  # of a mapping whose keys become names of files
Distinct = AfterValidator(_distinct)  # of a list that is a set in an order
Count = Annotated[int, Field(ge=1)]
Index = Annotated[int, Field(ge=0)]
# A block of the model, counted from 0: refused where the model is known to have fewer.
Block = Annotated[int, Field(ge=0, json_schema_extra={"block": True})]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Text = Annotated[str, Field(min_length=1, pattern=r"\S")]
Span = Literal["prefix", "question", "suffix", "answer", "mean"]
# A file that a setting names: an input of the jobs that read it, which are made anew when it changes.
InputFile = Annotated[str, Field(min_length=1, json_schema_extra={"input_file": True})]

# What an entry may hold besides its settings, by kind of plug-in: said to the workflow, not to the plug-in.
ENTRY = {
    "method": ("model", "prompt", "recipe", "statistics_of", "grid", "choices", "rehearsals"),
    "attack": ("attack",),
    "metric": (),
}


class Section(BaseModel):
    """A section of the configuration: keys that it does not have are refused, and no value is turned into another."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)

    @field_validator("*")
    @classmethod
    def _in_reach(cls, value: Any) -> Any:
        """Numbers that int32 and float32 hold."""
        for number in value if isinstance(value, list) else [value]:
            most = 2**31 - 1 if isinstance(number, int) else 1e30
            if isinstance(number, int | float) and abs(number) > most:
                raise ValueError(f": {number:.6g} is out of reach; the largest number allowed is {most:.10g}")
        return value


def complete(section: Section, keys: Iterable[str], why: str) -> None:
    """Refuse a section in which a key has no value.

    Raises:
        ValueError: a line for each such key.
    """
    if lacking := [f"{key}: missing; {why}" for key in keys if getattr(section, key) is None]:
        raise ValueError("\n".join(lacking))


class Lora(Section):
    """LoRA that is trained beside linear modules (Hu et al. 2022): a change ``alpha / rank * B A``."""

    rank: Count = Field(description="Rank of each change.")
    alpha: Positive = Field(description="Scale: the change is alpha / rank times the product of its factors.")


class Direction(Section):
    """Where a steering vector comes from (LUNAR, equation 1)."""

    site: Literal["residual", "down_proj"] = Field(
        description="Residual stream after the block, or the output of `down_proj`."
    )
    tokens: Literal["last", "prompt"] = Field(description="Last token of the prompt, or the mean over the prompt.")
    reference: Literal["fictitious", "harmful"] = Field(description="Reference prompts, which the model refuses.")


class Given(dict[str, Any]):
    """What a job was given by name; what it was not given is refused with the way to get it.

    Args:
        given: values by name.
        declare: the ``needs`` that would have brought what is missing, for the message.
    """

    def __init__(self, given: Mapping[str, Any], declare: str) -> None:
        super().__init__(given)
        self._declare = declare

    def get(self, name: str, default: Any = None) -> Any:
        """As ``[name]``: what was not declared is refused, too."""
        return self[name]

    def __missing__(self, name: str) -> Any:
        """Refuse.

        Raises:
            LunarError: always; names what is missing and what to declare.
        """
        there = ", ".join(sorted(self)) or "nothing"
        raise LunarError(f"{name!r} was not given, only {there}; declare it in the decorator: needs=({self._declare})")
