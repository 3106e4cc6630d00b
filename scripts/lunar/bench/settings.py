"""Settings of target `bench`. Imports no torch: planning reads them."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from lunar.plan.declare import Apart, Count, Distinct, Index, Section

# Part of the names of files, two of them in some.
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$")]


class Shape(Section):
    """Entries of a model's config.json that tell how large it is; others are as transformers has them."""

    model_config = ConfigDict(extra="allow")

    hidden_size: Count = Field(description="Width of the residual stream.")
    num_hidden_layers: Count = Field(description="Blocks.")
    intermediate_size: Count | None = Field(None, description="Width of the MLP; absent: 4 times hidden_size.")
    num_attention_heads: Count | None = Field(None, description="Heads of queries.")
    num_key_value_heads: Count | None = Field(
        None, description="Heads of keys and values; absent: as many as of queries."
    )
    head_dim: Count | None = Field(None, description="Width of a head; absent: hidden_size / num_attention_heads.")
    vocab_size: Count | None = Field(None, description="Number of tokens.")
    tie_word_embeddings: bool | None = Field(None, description="Whether the head shares the embeddings.")


class Sizes(Shape):
    """Configuration of a model of random weights."""

    model_type: str = Field(description="A model type of transformers, such as llama.")
    intermediate_size: Count = Field(description="Width of the MLP.")
    num_attention_heads: Count = Field(description="Heads of queries.")
    vocab_size: Count = Field(description="Number of tokens.")


class BatchSize(Section):
    """Prompts in a forward pass."""

    of_pass: Count = Field(alias="pass", description="Batch size of the activation pass.")
    generation: Count = Field(description="Batch size of answers.")


class Published(Section):
    """The part of the published ways that is run. The rest is extrapolated."""

    prompts: Count = Field(description="Prompts of the pass prompt by prompt.")
    answers: Count = Field(description="Answers one by one, unsteered and steered.")
    epochs: Count = Field(description="Epochs of AdamW on cached rows.")
    steps: Count = Field(description="Steps of SGD, with a forward pass each.")


class Size(Section):
    """A model's size and the amounts of work."""

    gpu: bool = Field(description="Whether this size needs a GPU. It is refused without one.")
    model: Sizes
    dtype: Literal["float32", "bfloat16", "float16"] = Field(description="Type of the weights.")
    candidates: Annotated[list[Index], Field(min_length=1), Distinct] = Field(
        description="Blocks at which the direction is added, each in turn."
    )
    prompts: Annotated[int, Field(ge=2)] = Field(
        description="Prompts of the activation pass, including those of the author."
    )
    author: Count = Field(description="Forgotten prompts; as many are refused. `prompts` is more than both together.")
    lengths: Annotated[list[Annotated[int, Field(ge=3)]], Field(min_length=2, max_length=2)] = Field(
        description="Tokens of a prompt: the least and the most."
    )
    answers: Count = Field(description="Number of generated answers.")
    new_tokens: Annotated[int, Field(ge=2)] = Field(description="Tokens of every answer.")
    batch_size: BatchSize
    repeats: Count = Field(description="Timings of each stage. The median counts.")
    published: Published

    @model_validator(mode="after")
    def _fits(self) -> Self:
        blocks, shortest, longest = self.model.num_hidden_layers, *self.lengths
        found = []
        if beyond := [layer for layer in self.candidates if layer >= blocks]:
            found.append(f"candidates: {beyond[0]}, but blocks are numbered 0 to {blocks - 1}")
        if self.prompts <= 2 * self.author:
            said = f"of which {self.author} are the author's and as many are refused; state more than {2 * self.author}"
            found.append(f"prompts: {self.prompts}, {said}")
        if shortest > longest:
            found.append(f"lengths: {self.lengths}; the shorter length comes first")
        if found:
            raise ValueError("\n".join(found))
        return self


class Bench(Section):
    """What unlearning costs at a model's size, on random weights (target `bench`)."""

    size: str | None = Field(
        description="Entry of sizes, or an entry at fewer blocks, such as llama2-7b-4-blocks. Its candidates keep "
        "their relative depth; null: the first entry for a GPU, or without a GPU the first for a CPU."
    )
    seed: Index = Field(description="Seed of weights and prompts.")
    sizes: Annotated[dict[Name, Size], Field(min_length=1), Apart] = Field(
        description="Models and amounts of work, by name."
    )
