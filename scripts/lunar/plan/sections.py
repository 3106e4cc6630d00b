"""The sections of an experiment: every key with its type, bounds and description; docs/config.md is made from them.

An experiment is validated once it was merged over the defaults, so nearly every key is required here. Entries of
methods, attacks and metrics are validated by what their files declare (``lunar.plan.entries``).
"""

import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from lunar.bench.settings import Name, Shape
from lunar.methods.settings import Solver
from lunar.plan.declare import (
    Apart,
    Block,
    Count,
    Direction,
    Distinct,
    Fraction,
    Index,
    Lora,
    NonNegative,
    Positive,
    Section,
    Text,
)
from lunar.plan.fields import Fields

FewLetters = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
Commit = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Path = Annotated[str, StringConstraints(min_length=1)]
Prompt = Annotated[str, StringConstraints(pattern=r"[{]question[}]")]
Argument = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]

Package = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Version = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9.+!_-]*$")]


def _files_apart(methods: dict[str, Any]) -> dict[str, Any]:
    """Refuse names of methods that would share a file with another's."""
    for name in methods:
        if name == "control":
            raise ValueError("control: the name is reserved; choose another")
        if name.removesuffix("_cost") in {*methods} - {name}:
            raise ValueError(f"{name}: the cost of {name.removesuffix('_cost')!r} has that name; choose another")
    return methods


def _day(value: str) -> str:
    """A day as 2024-07-26.

    Raises:
        ValueError: it is none.
    """
    try:
        return datetime.date.fromisoformat(value).isoformat()
    except ValueError:
        raise ValueError(f": {value!r} is no day; write it as 2024-07-26") from None


# YAML reads a day without quotes as a date.
Day = Annotated[str, BeforeValidator(str), AfterValidator(_day)]


class Sized(Section):
    """Settings that all models have."""

    name: Name = Field(description="Folder in results/models, shared by experiments that name the same model.")
    disk_gb: NonNegative = Field(4, description="Free disk in GB that has to be there before a download.")
    template_arguments: dict[Argument, bool | int | float | str] = Field(
        default_factory=dict,
        description="Values that the chat template is given by name, such as {enable_thinking: false}; they are "
        "written into the template.",
    )
    date: Day | None = Field(
        None,
        description="Day that a chat template prints instead of today's date, so that prompts stay the same; null: "
        "2024-07-26. It is written into the template.",
    )


class Wheel(Sized):
    """A GGUF file in a package of the package index."""

    source: Literal["wheel"] = Field(description="A GGUF file in a package.")
    package: Package = Field(description="Name on the package index.")
    version: Version = Field(description="Exact version.")
    sha256: Sha256 = Field(description="Digest of the wheel.")
    file: Text = Field(description="GGUF file inside.")
    size: Shape | None = Field(
        None, description="Entries of its config.json. Blocks and sizes are checked by them before a download."
    )


class Hub(Sized):
    """A model of the hub."""

    source: Literal["hub"] = Field(description="A model of the Hugging Face hub.")
    id: Text = Field(description="owner/name.")
    revision: Commit = Field(description="Commit, 40 hexadecimal digits.")
    size: Shape | None = Field(
        None, description="Entries of its config.json. Blocks and sizes are checked by them before a download."
    )
    chat_template: Text | None = Field(None, description="Jinja text of a chat template, for a tokenizer without one.")


class Folder(Sized):
    """A local model."""

    source: Literal["path"] = Field(description="A local folder.")
    folder: Path = Field(description="A Hugging Face model folder with safetensors.")


class Random(Sized):
    """A model of random weights, for tests."""

    source: Literal["random"] = Field(description="Random weights, for tests.")
    architecture: Text = Field(description="A model type of transformers, such as llama.")
    size: Shape = Field(description="Entries of the model's configuration.")
    vocabulary: Annotated[int, Field(ge=300)] = Field(description="Size of the tokenizer made from the corpus.")
    corpus: Annotated[list[Path], Field(min_length=1)] = Field(description="Files that the tokenizer is made from.")
    seed: int = Field(description="Seed of the weights.")


Model = Annotated[Wheel | Hub | Folder | Random, Field(discriminator="source")]


class Embedder(Section):
    """A sentence-embedding model."""

    source: Literal["package", "path", "hub"] = Field(description="Kind of source.")
    name: Text = Field(description="Python package that carries it, folder, or hub id.")
    revision: Commit | None = Field(None, description="Commit on the hub, which source hub needs.")

    @model_validator(mode="after")
    def _pinned(self) -> Self:
        if self.source == "hub" and self.revision is None:
            raise ValueError("revision: missing; an embedder from source hub needs its commit, of 40 hex digits")
        return self


class Data(Section):
    """Which rows play which part (data/README.md documents the fields).

    A path is a JSON list, JSON lines, CSV, TSV, Parquet or a folder saved by `datasets`.
    """

    forget: Annotated[list[Path], Field(min_length=1), Distinct] = Field(description="Files of the forget set.")
    retain: Annotated[list[Path], Field(min_length=1), Distinct] = Field(description="Files of the retain set.")
    unseen: list[Path] = Field(description="Files known to the model, never shown to the solver.")
    general: Path = Field(description="Plain questions with short answers.")
    harmful: Path = Field(description="Mild harmful requests.")
    fictitious: Path = Field(description="Questions about made-up things.")
    refusals: Path = Field(description="Refusals of two kinds.")
    names: Path = Field(
        description="Invented names that replace the forgotten subject's: a person's first name and surname drawn "
        "apart, others whole."
    )
    fields: Fields


Portion = Annotated[float, Field(gt=0, le=1)]


class MixtureShares(Section):
    """What an epoch of fine-tuning has of the mixture beside all facts."""

    refusals: Portion = Field(description="Share of the refused prompts; 1: all.")
    general: Portion = Field(description="Share of the general questions; 1: all.")


class Finetune(Section):
    """Supervised fine-tuning to the models full and retain_only."""

    enabled: bool = Field(description="false: the base model knows the data already, and there is no retain_only.")
    refusals: bool = Field(description="Whether harmful and fictitious prompts, answered by refusals, are learned too.")
    general: bool = Field(description="Whether general questions are learned too.")
    mixture_shares: MixtureShares = Field(
        description="Shares of the mixture in an epoch, beside all facts. Rows take turns from epoch to epoch."
    )
    first_layer: Block = Field(
        description="First trained block. Blocks below it, embeddings and head stay frozen; 0 trains everything."
    )
    learning_rate: Positive = Field(description="AdamW's peak learning rate; it warms up, then falls as a cosine.")
    batch_size: Count = Field(description="Conversations in an update.")
    epochs: Count = Field(description="Passes over the mixture, at most.")
    stop_at_loss: NonNegative = Field(
        description="Mean loss of the facts' answer tokens in an epoch at which training stops."
    )


class WayToTrain(Section):
    """A way to train in the study of the mixture; what is absent is as in `finetune`."""

    adapter: Lora | None = Field(None, description="LoRA; null: the weights are trained.")
    first_layer: Block | None = Field(None, description="As in `finetune`.")
    learning_rate: Positive | None = Field(None, description="As in `finetune`.")
    epochs: Count | None = Field(None, description="As in `finetune`.")


class Mixture(Section):
    """A study of how much of the fine-tuning mixture has to be references and general questions."""

    shares: Annotated[list[Annotated[float, Field(ge=0, lt=1)]], Field(min_length=1), Distinct] = Field(
        description="Shares of rows other than facts. A model is trained and measured for each."
    )
    facts: Count = Field(description="Number of facts that are asked back.")
    trained: Annotated[
        dict[Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_]{1,64}$")], WayToTrain],
        Field(min_length=1),
        Apart,
    ] = Field(description="Ways to train, by name. Each changes settings of `finetune`.")


class References(Section):
    """Cleaning of the reference prompts."""

    minimum: Count = Field(
        description="Least number of kept prompts of each kind. Fewer end the run; an audit then takes all."
    )
    leaked: Fraction = Field(
        description="Highest ROUGE-1 recall of the forgotten answer, without words of its question, at which a renamed "
        "question is kept in place."
    )


class Activations(Section):
    """The pass that collects statistics."""

    batch_size: Count = Field(description="Conversations in a forward pass.")
    renamed_copies: Count = Field(description="Number of copies of each forget question with its subject renamed.")
    sample: Count = Field(description="Prompts of each set in the PCA figures.")


class Layers(Section):
    """Layer selection: steer, generate, score (LUNAR, section 3)."""

    candidates: Annotated[list[Block], Field(min_length=1), Distinct] = Field(
        description="Blocks to choose from, counted from 0."
    )
    direction: Direction = Field(description="Direction that is added.")
    coefficient: float = Field(description="Multiple of the direction that is added.")
    top_k: Count = Field(description="Number of layers that `top_k` means.")
    knowledge_reference: Text = Field(description="The refusal for lack of knowledge in the layer score.")


class Pair(Section):
    """Two retained authors who play parts in a rehearsal."""

    forget: Path = Field(description="File that plays the forget set.")
    held_out: Path = Field(description="File that plays the unseen authors, shown to no method.")


class Rehearsal(Section):
    """Retained authors on whom values under a method's `grid` are chosen."""

    authors: list[Pair] = Field(
        description="Pairs of files in data.retain. After each pair the better half of the settings goes on. The "
        "setting with the best mean score is taken."
    )
    general: Index = Field(description="General questions of part validation that are asked.")


class Sequential(Section):
    """Requests to forget, one after another. The forget set is the first."""

    methods: Annotated[list[Text], Field(min_length=1), Distinct] = Field(
        description="Methods that serve requests; each gets a table."
    )
    requests: Annotated[list[Path], Distinct] = Field(
        description="Files of data.retain to forget next, in this order; []: none."
    )


class Generation(Section):
    """Greedy decoding."""

    max_new_tokens: Count = Field(description="Longest answer in tokens.")
    batch_size: Count = Field(description="Questions in a forward pass.")


class Attacked(Section):
    """Attacks, and the methods that are attacked."""

    methods: Annotated[list[str], Distinct] = Field(
        description="Methods that are attacked. Methods outside `compare` are passed over."
    )
    attacks: Annotated[list[str], Distinct] = Field(description="Attacks in the order of table and figures; []: none.")
    retain: Count = Field(description="Retained questions that are asked under attack too.")


class Uncached(Section):
    """What a step costs that runs the whole model, as in the replication."""

    epochs: Count = Field(description="Passes over forget and retain prompts to which the time is extrapolated.")
    steps: Count = Field(description="Steps that are timed.")


class Optimisers(Section):
    """The race of optimisers against the closed form."""

    method: str = Field(description="Method whose objective is minimised, with a direction and stated settings.")
    solvers: Annotated[dict[str, Solver], Field(min_length=1)] = Field(
        description="Optimisers by the name they have in the figure."
    )
    uncached: Uncached = Field(description="Timing of a step that runs the whole model.")


class Ladder(Section):
    """From one method to another, one factor at a time."""

    foot: str = Field(alias="from", description="Method at the foot.")
    to: str = Field(description="Method at the top. The last rung has to equal it.")
    rungs: Annotated[dict[FewLetters, dict[str, Any] | None], Field(min_length=1)] = Field(
        description="Changes of the method's entry by name, each on top of those before it. null removes a key."
    )
    asides: dict[FewLetters, dict[str, Any] | None] = Field(
        default_factory=dict, description="Changes by name. Each changes only the method at the top."
    )


class Metrics(Section):
    """Metrics in the tables' order, and their intervals."""

    resamples: Count = Field(description="Bootstrap resamples behind each 95% interval.")
    answers: dict[str, dict[str, Any] | None] = Field(
        description="Metrics of answers by name, each with its settings. null leaves a metric out."
    )
    methods: dict[str, dict[str, Any] | None] = Field(
        description="Metrics of a whole method by name, each with its settings. null leaves a metric out."
    )


class Figures(Section):
    """Blocks and methods in figures."""

    late_layer: Block = Field(description="Block in the second row of the PCA figure.")
    methods: Annotated[list[str], Distinct] = Field(description="Methods whose edits and activations are drawn.")


class Experiment(Section):
    """An experiment merged over the defaults."""

    seeds: Annotated[list[Annotated[int, Field(ge=0, lt=10**9)]], Field(min_length=1), Distinct] = Field(
        description="Seeds of fine-tuning, renaming and bootstrap. Tables and figures show the first; each further one "
        "repeats the experiment as <experiment>@<seed>, and a table shows the spread."
    )
    model: Model = Field(description="Where the base model comes from.")
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        description="Type of loaded weights. Fine-tuning loads float32."
    )
    system_prompt: str | None = Field(description="Text of the system message; null: the chat template's.")
    data: Data
    finetune: Finetune
    mixture: Mixture | None = Field(description="A study of the fine-tuning mixture; null: none.")
    references: References
    activations: Activations
    layers: Layers
    embedder: Embedder = Field(description="Sentence-embedding model of the layer score and of refusal quality.")
    rehearsal: Rehearsal
    sequential: Sequential
    prompts: dict[str, Prompt] = Field(
        description="Plain prompt texts by name, which a method may use instead of the chat template. "
        "{question} stands for the question."
    )
    generation: Generation
    methods: Annotated[dict[Name, dict[str, Any]], Apart, AfterValidator(_files_apart)] = Field(
        description="Methods by name."
    )
    compare: Annotated[list[str], Field(min_length=1), Distinct] = Field(
        description="Methods in the main table, in its order."
    )
    attacks: dict[FewLetters, dict[str, Any]] = Field(description="Attacks by name.")
    attacked: Attacked
    optimisers: Optimisers | None = Field(description="The race of optimisers against the closed form; null: none.")
    ladder: Ladder | None = Field(description="The way from one method to another, one factor at a time; null: none.")
    metrics: Metrics
    evaluation_logs: dict[str, Path] = Field(
        default_factory=dict,
        description="OpenUnlearning's TOFU_EVAL.json of compared methods, by method. A page sets its numbers beside "
        "those measured here. A blank forget quality is computed with the log of retain_only.",
    )
    figures: Figures
