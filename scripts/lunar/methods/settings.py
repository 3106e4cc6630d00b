"""Settings that methods share. Imports no torch: planning reads them.

A method's own settings stand in its file, as a class ``Settings`` within its class that builds on one of these.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from lunar.plan.declare import Block, Count, Direction, Distinct, Lora, NonNegative, Positive, Section, Span, complete

# Sets whose rows an edit may leave as they are, and spans of a set's rows with the weight of each of their tokens.
KeptSet = Literal["forget", "retain", "general", "renamed"]
Weight = Annotated[NonNegative, Field(description="Weight of each of the span's tokens.")]


def _something(weights: dict[Span, float]) -> dict[Span, float]:
    if weights and not any(weights.values()):
        raise ValueError(": all weights are 0, which keeps nothing; weigh a span, or leave the set out")
    return weights


Weights = Annotated[dict[Span, Weight], Field(description="Spans of this set's rows."), AfterValidator(_something)]
Blocks = Annotated[list[Block], Field(min_length=1), Distinct]


class MethodSettings(Section):
    """What a method is told; the keys that every entry may have (model, recipe, grid ...) are not among these."""

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Self:
        """These settings from an entry that states others too, such as that of a method which builds on this one."""
        return cls.model_validate({key: value for key, value in entry.items() if key in cls.model_fields})


class Fitted(MethodSettings):
    """Settings of a method that is fitted to tokens of the forget set and to tokens that are kept."""

    short_names: bool = Field(
        False, description="Whether forget questions by first name or surname alone are forgotten too."
    )
    keep: dict[Literal[KeptSet, "declined"], Weights] = Field(
        description="Spans that are kept, by set, with a weight for each token."
    )
    ridge: Positive = Field(description="lambda, as a multiple of the Gram matrix's mean diagonal.")

    def forgotten(self, rows: Mapping[str, Sequence[Any]]) -> list[Any]:
        """The forget set's rows, with ``short_names`` those that give half of a name as well."""
        return [*rows["forget"], *(rows["short"] if self.short_names else ())]


class Redirecting(Fitted):
    """Settings of a method that redirects the forget set's residual stream (LUNAR, section 3)."""

    layers: Literal["best", "top_k"] | Blocks = Field(
        description="Blocks to edit: `best` or `top_k` of layers.json, or a list of candidates."
    )
    coefficient: float = Field(description="Multiple of the direction that is written.")
    direction: Direction = Field(description="How the direction is computed.")
    redirect: Annotated[list[Span], Field(min_length=1), Distinct] = Field(
        description="Spans of the forget set to redirect."
    )


class Replacing(Fitted):
    """Settings of a method that has early blocks see somebody else."""

    blocks: Blocks = Field(description="Blocks whose output is to be as for somebody else. Each is solved as if alone.")
    factor: Positive = Field(
        description="Multiple of the way from the subject to the renamed copies. 1 is the whole way."
    )


class Solver(Section):
    """Training by mini-batches of cached rows."""

    optimiser: Literal["adamw", "sgd"] = Field(description="adamw (no weight decay) or sgd (Nesterov momentum).")
    learning_rate: Positive = Field(description="Learning rate for the mean squared error.")
    momentum: Annotated[float, Field(ge=0, lt=1)] | None = Field(None, description="sgd: Nesterov momentum.")
    batch_size: Count = Field(description="Rows in a step.")
    epochs: Count = Field(description="Passes over the rows.")
    schedule: Literal["constant", "exponential", "cosine"] = Field(
        description="Learning rate: constant, exponential (times `decay` every epoch) or cosine (down to 0)."
    )
    rank: Count | None = Field(None, description="Rank of the trained change, as in LoRA; null: the whole weight.")
    decay: Annotated[float, Field(gt=0, le=1)] | None = Field(None, description="exponential: factor for each epoch.")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        asked = [
            *(["momentum"] if self.optimiser == "sgd" else []),
            *(["decay"] if self.schedule == "exponential" else []),
        ]
        complete(self, asked, f"{self.optimiser} with schedule {self.schedule} needs it")
        return self


class Trained(MethodSettings):
    """Settings of a method that is trained by gradient on the model itself."""

    first_layer: Block = Field(description="Blocks below this one stay frozen.")
    adapter: Lora | None = Field(description="LoRA beside the linear modules; null: their weights are trained.")
    learning_rate: Positive = Field(description="AdamW's peak learning rate; it warms up, then falls linearly.")
    epochs: Count = Field(description="Passes over the forget rows.")
    batch_size: Count = Field(description="Forget rows in an update. As many rows to keep are added.")


class Retaining(Trained):
    """The same, with a loss on rows to keep."""

    retain_weight: NonNegative = Field(description="Multiple of the loss on rows to keep.")
