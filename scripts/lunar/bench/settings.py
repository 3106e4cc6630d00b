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
    vocab_size: Count | None = Field(None, description="Tokens.")
    tie_word_embeddings: bool | None = Field(None, description="Whether the head is the table of embeddings.")


class Sizes(Shape):
    """What a model of random weights is made from."""

    model_type: str = Field(description="A model type of transformers, such as llama.")
    intermediate_size: Count = Field(description="Width of the MLP.")
    num_attention_heads: Count = Field(description="Heads of queries.")
    vocab_size: Count = Field(description="Tokens.")


class BatchSize(Section):
    """Prompts a forward pass."""

    of_pass: Count = Field(alias="pass", description="Of the activation pass.")
    generation: Count = Field(description="Of answers.")


class Published(Section):
    """How much of the published ways is run; the rest is extrapolated."""

    prompts: Count = Field(description="Of the pass prompt by prompt.")
    answers: Count = Field(description="Of those one by one, unsteered and steered.")
    epochs: Count = Field(description="Of AdamW on cached rows.")
    steps: Count = Field(description="Of SGD, a forward pass each.")


class Size(Section):
    """A model's size and the amounts of work."""

    gpu: bool = Field(description="Whether it wants a GPU, and is refused without one.")
    model: Sizes
    dtype: Literal["float32", "bfloat16", "float16"] = Field(description="Of the weights.")
    candidates: Annotated[list[Index], Field(min_length=1), Distinct] = Field(
        description="Blocks that are steered at in turn."
    )
    prompts: Annotated[int, Field(ge=2)] = Field(
        description="Prompts of the activation pass, those of the author among them."
    )
    author: Count = Field(description="Prompts that are forgotten, and as many refused; prompts is more than both.")
    lengths: Annotated[list[Annotated[int, Field(ge=3)]], Field(min_length=2, max_length=2)] = Field(
        description="Tokens of a prompt, from and to."
    )
    answers: Count = Field(description="Answers that are generated.")
    new_tokens: Annotated[int, Field(ge=2)] = Field(description="Tokens of every answer.")
    batch_size: BatchSize
    repeats: Count = Field(description="Timings of each stage, of which the median counts.")
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
        description="Entry of sizes, or one at fewer blocks, such as llama2-7b-4-blocks, whose candidates keep their "
        "relative depth; null: the first that is for a GPU where there is one, else the first that is not."
    )
    seed: Index = Field(description="Of weights and prompts.")
    sizes: Annotated[dict[Name, Size], Field(min_length=1), Apart] = Field(
        description="Models and amounts of work, by name."
    )
