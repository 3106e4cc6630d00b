"""The form of an audit that is handed on, ``audit.json``, and its reader.

A form has a version: a file of another one is refused and never guessed at. ``docs/audit-schema.json`` is the same form
for other programs.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from lunar.errors import LunarError, shown

FORM = "lunar-audit/1"
OVERALL = "overall"  # the split of metrics of a whole method
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Record(BaseModel):
    """A part of an audit: other keys are refused, no value is turned into another, and NaN is no number."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


class Number(Record):
    """A number that was measured."""

    value: float | None = Field(None, description="Absent: not measured.")
    low: float | None = Field(None, description="Lower end of the 95% bootstrap interval.")
    high: float | None = Field(None, description="Upper end.")
    n: int | None = Field(None, description="Rows that it is a mean over.")
    reason: str | None = Field(None, description="Why it was not measured.")


class Attacked(Record):
    """What an attack draws from a method. All numbers are ROUGE-1 recall of gold answers."""

    forget: Number = Field(description="On the forget set.")
    forget_over_unattacked: Number | None = Field(None, description="Less the same questions without an attack.")
    forget_over_retain_only: Number | None = Field(
        None, description="Less what the attack draws from a model that never knew; absent: none was attacked."
    )
    retain: Number = Field(description="On the retain set.")


class Judged(Number):
    """A line that an unlearned model has to keep before one may say that it no longer knows."""

    line: str = Field(description="What is measured.")
    asked: str = Field(description="What keeps the line.")
    kept: bool | None = Field(None, description="Absent: not measured.")
    attack: str | None = Field(None, description="Of the worst attack's line: which one.")


class Method(Record):
    """A model: its files and all that was measured of it."""

    made: dict[str, Any] = Field(description="Its entry of the configuration.")
    facts: dict[str, Any] = Field(
        description="What is known of its edit, such as what rehearsals chose, or of a model made elsewhere."
    )
    files: dict[str, Sha256] = Field(
        description="sha256 by path, of the model that it starts from and of its edit; or of a model made elsewhere."
    )
    metrics: dict[str, dict[str, Number]] = Field(description="By split and metric; overall: of the whole method.")
    attacks: dict[str, Attacked] = Field(description="By attack; none: left alone, on the questions that attacks ask.")
    failed: dict[str, str] = Field(
        default_factory=dict, description="Why attacks are left out that failed their checks of themselves."
    )
    removal: list[Judged] = Field(description="The lines of Hidden or removed?; empty where it was not judged.")
    verdict: str | None = Field(None, description="Two sentences; absent for models that nothing was unlearned in.")

    @model_validator(mode="after")
    def _attacked(self) -> Self:
        if self.verdict is not None and "none" not in self.attacks:
            raise ValueError("attacks.none is missing, and the verdict is about it")
        return self


class Rows(Record):
    """A file of rows."""

    rows: int = Field(ge=0)
    sha256: Sha256


class Provenance(Record):
    """Where and by what code it was made: the one part that differs between machines."""

    code: str = Field(description="Commit of the project, and whether it was changed since.")
    processor: str
    python: str
    packages: dict[str, str] = Field(description="Installed version by name.")


class Audit(Record):
    """An audit of models that something was unlearned in."""

    form: Literal["lunar-audit/1"] = Field(alias="schema")
    experiment: str = Field(min_length=1)
    seed: int
    settings: dict[str, Any] = Field(description="Of model, prompt, answers, metrics and attacks, as configured.")
    provenance: Provenance
    data: dict[str, Rows] = Field(description="By split, as models were asked.")
    methods: dict[str, Method] = Field(min_length=1)

    def written(self) -> dict[str, Any]:
        """As the file has it: what is absent is left out."""
        return self.model_dump(by_alias=True, exclude_none=True)


def read_audit(path: str | Path) -> Audit:
    """Read an audit that somebody hands on.

    Raises:
        LunarError: it cannot be read, is no JSON, or does not have this form; names the file and each key.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LunarError(f"{path}: cannot be read ({error}); name a file tables/audit.json of a run") from error
    try:
        return Audit.model_validate_json(text)
    except ValidationError as error:
        found = error.errors(include_url=False)
    if found[0]["type"] == "json_invalid":
        raise LunarError(f"{path}: no JSON ({found[0]['ctx']['error']}); name a file tables/audit.json of a run")
    stated = next((one["input"] for one in found if one["loc"] == ("schema",) and one["type"] == "literal_error"), None)
    if stated is not None:
        raise LunarError(f"{path}: schema: {shown(stated)}, and this code reads {FORM!r}; take the code that wrote it")
    raise LunarError(*(f"{path}: {'.'.join(map(str, one['loc'])) or 'the whole'}: {one['msg']}" for one in found))
