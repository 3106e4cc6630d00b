"""Sums and means over the tokens of a set: all that directions, the exact solve and the PCA figures need of it.

They are made in one batched pass. Nothing grows with the number of tokens: Gram matrices and means are running sums,
and the activations kept for figures are those of the first ``sample`` prompts. Where it gains, the pass multiplies in
bfloat16, as answers are made (``lunar.model.load.mixed_precision``); sums over its activations are float32 and float64
all the same.

Tensors of a file (``d`` = d_model, ``f`` = d_ff, ``L`` = blocks). Their names are built in this module only:

=========================  =========  ===========================================================================
gram.<layer>.<span>        (f, f)     sum of h h^T over the span's tokens, h the input of ``down_proj``; float32,
                                      accumulated in float64
sum.<layer>.<span>         (f,)       sum of h over the span's tokens; float64
tokens.<span>              ()         number of tokens; int64
*.mean                                the same of one row a prompt, the mean of h over all of its prompt tokens
mean.<site>.<tokens>       (L, d)     mean over prompts of the activation at ``residual`` (the residual stream after
                                      the block) or ``down_proj`` (its output), at the ``last`` prompt token or
                                      averaged over the ``prompt``; float64
sample                     (n, L, d)  residual stream at the last prompt token of the first n prompts; float32
=========================  =========  ===========================================================================

Where something stands between ``down_proj`` and the stream (``lunar.model.arrival``), ``mean.down_proj`` is of what the
stream receives, and the file says what stands there. Behind a norm the sums are over ``h / rms(y)``, y the output of
``down_proj``: what the stream receives is linear in that.

=========================  =========  ===========================================================================
factor.<layer>             () or (d,) what the stream receives of the output or of the norm's; float64
norm.<layer>.<name>        (d,)       the norm's weight times the factor, by the name the block has for it; float64
weight.<layer>             (d, f)     with a norm: the weight of ``down_proj``; float32
=========================  =========  ===========================================================================
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file

from lunar.activations.passes import passes
from lunar.errors import LunarError
from lunar.files import Row, atomic_write
from lunar.model.arrival import Arrival, arrivals
from lunar.model.chat import SPANS, Chat, Encoded, pad
from lunar.model.hooks import capture
from lunar.model.load import blocks, down_proj


class Behind(NamedTuple):
    """What stands behind a ``down_proj``; as listed at the top of this module.

    Attributes:
        factor: 1 where there is none.
        name: of the norm; empty where there is none.
        norm: None where there is none.
        weight: None where there is no norm.
    """

    factor: torch.Tensor
    name: str = ""
    norm: torch.Tensor | None = None
    weight: torch.Tensor | None = None


ROWS = (*SPANS, "mean")
SITES = ("residual", "down_proj")
TOKENS = ("last", "prompt")


@dataclass(frozen=True, eq=False)
class Statistics:
    """Statistics of a set of conversations, or the sums of several sets.

    Attributes:
        tensors: as listed at the top of this module.
    """

    tensors: Mapping[str, torch.Tensor]

    @classmethod
    def of(
        cls,
        grams: Mapping[tuple[int, str], torch.Tensor],
        sums: Mapping[tuple[int, str], torch.Tensor],
        tokens: Mapping[str, int],
        means: Mapping[tuple[str, str], torch.Tensor] | None = None,
        sample: torch.Tensor | None = None,
    ) -> "Statistics":
        """Statistics from their parts.

        Args:
            grams: sums of ``h h^T`` by block and span.
            sums: sums of ``h`` by block and span.
            tokens: number of tokens by span.
            means: means over prompts by site and tokens, if they were made.
            sample: the residual stream of the first prompts, if it was kept.
        """
        tensors = {f"gram.{block}.{span}": value for (block, span), value in grams.items()}
        tensors |= {f"sum.{block}.{span}": value for (block, span), value in sums.items()}
        tensors |= {f"tokens.{span}": torch.tensor(number) for span, number in tokens.items()}
        tensors |= {f"mean.{site}.{where}": value for (site, where), value in (means or {}).items()}
        return cls(tensors | ({} if sample is None else {"sample": sample}))

    def gram(self, block: int, spans: Sequence[str]) -> Any:
        """Sum of ``h h^T`` over the tokens of spans, float64 of shape (d_ff, d_ff); 0 where no span is named."""
        return sum(self.tensors[f"gram.{block}.{span}"].double() for span in spans)

    def sum(self, block: int, spans: Sequence[str]) -> Any:
        """Sum of ``h`` over the tokens of spans, float64 of shape (d_ff,); 0 where no span is named."""
        return sum(self.tensors[f"sum.{block}.{span}"].double() for span in spans)

    def tokens(self, spans: Sequence[str]) -> int:
        """Number of tokens of spans."""
        return sum(int(self.tensors[f"tokens.{span}"]) for span in spans)

    def behind(self, block: int) -> Behind | None:
        """What stands between a block's ``down_proj`` and the stream; None where nothing does."""
        factor = self.tensors.get(f"factor.{block}")
        for key, norm in self.tensors.items():
            if key.startswith(f"norm.{block}."):
                one = torch.ones((), dtype=torch.float64) if factor is None else factor
                return Behind(one, key.split(".", 2)[2], norm, self.tensors[f"weight.{block}"])
        return None if factor is None else Behind(factor)

    def mean(self, site: str, tokens: str) -> torch.Tensor:
        """Mean activation, a row a block, float64 of shape (blocks, d_model).

        Raises:
            LunarError: an unknown site or token choice.
        """
        if site not in SITES or tokens not in TOKENS:
            raise LunarError(f"direction: site must be one of {SITES} and tokens one of {TOKENS}, got {site}, {tokens}")
        return self.tensors[f"mean.{site}.{tokens}"]

    @property
    def sample(self) -> torch.Tensor:
        """Residual stream at the last token of the first prompts, float32 of shape (prompts, blocks, d_model)."""
        return self.tensors["sample"]

    def __add__(self, other: "Statistics") -> "Statistics":
        """The sums over tokens of both sets as if they were one; means and sample are left out."""
        summed = [name for name in self.tensors if name.startswith(("gram.", "sum.", "tokens."))]
        same = {name: value for name, value in self.tensors.items() if name.startswith(("factor.", "norm.", "weight."))}
        return Statistics({name: self.tensors[name] + other.tensors[name] for name in summed} | same)

    def save(self, path: str | Path) -> None:
        """Write a safetensors file, whole or not at all."""
        with atomic_write(path) as temporary:
            save_file(dict(self.tensors), temporary)

    @classmethod
    def load(cls, path: str | Path) -> "Statistics":
        """Read a file that ``save`` wrote."""
        return cls(load_file(path))


def behind_tensors(model: Any, ways: Mapping[int, Arrival]) -> dict[str, torch.Tensor]:
    """What stands behind ``down_proj`` of the blocks, as a file has it; empty where nothing does."""
    tensors = {}
    for layer, way in ways.items():
        if way.factor is not None:
            tensors[f"factor.{layer}"] = way.factor.cpu()
        if way.weight is not None:
            tensors[f"norm.{layer}.{way.name}"] = way.weight.cpu()
            tensors[f"weight.{layer}"] = down_proj(model, layer).weight.detach().float().cpu()
    return tensors


@torch.inference_mode()
def collect(
    model: Any,
    conversations: Sequence[Encoded],
    *,
    pad_id: int,
    batch_size: int,
    gram_layers: Sequence[int] = (),
    sample: int = 0,
    last: int | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> Statistics:
    """Statistics of a set of conversations, from one pass.

    Args:
        model: a causal language model; only its decoder runs, no logits are computed.
        conversations: encoded questions, with answers where answer tokens matter.
        pad_id: token id to pad with.
        batch_size: conversations a forward pass.
        gram_layers: blocks whose Gram matrices are summed (none: only means and the sample are made).
        sample: number of prompts, from the first, whose residual stream is kept.
        last: the block above which none is run; means and sample then end with it. None runs all.
        progress: called with the number of conversations done.
    """
    layers = range(len(blocks(model)) if last is None else last + 1)
    width, inner = down_proj(model, 0).weight.shape
    device = model.device
    gram = {(la, sp): torch.zeros(inner, inner, dtype=torch.float64) for la in gram_layers for sp in ROWS}
    sums = {key: torch.zeros(inner, dtype=torch.float64) for key in gram}
    count = dict.fromkeys(ROWS, 0)
    means = {
        (site, tokens): torch.zeros(len(layers), width, dtype=torch.float64) for site in SITES for tokens in TOKENS
    }
    kept = torch.zeros(min(sample, len(conversations)), len(layers), width)
    modules = {("residual", la): blocks(model)[la] for la in layers}
    ways = arrivals(model, layers)
    modules |= {("down_proj", la): way.module for la, way in ways.items()}
    # Behind a norm the output of down_proj itself is read too, for its length.
    normed = [la for la in gram_layers if ways[la].weight is not None]
    modules |= {("length", la): down_proj(model, la) for la in normed}
    watch = partial(capture, modules, {la: down_proj(model, la) for la in gram_layers})
    done = 0
    for batch, (outputs, inputs) in passes(
        model, conversations, watch, pad_id=pad_id, batch_size=batch_size, last=last
    ):
        chosen = [conversations[i] for i in batch]
        spans, _ = pad([c.spans for c in chosen], -1, "right")
        spans = spans.to(device)
        lengths = torch.tensor([c.prompt_length for c in chosen], device=device)
        rows = torch.arange(len(chosen), device=device)
        in_prompt = (torch.arange(spans.shape[1], device=device) < lengths[:, None]).float()
        for la in normed:
            inputs[la] = inputs[la].float() / ways[la].lengths(outputs.pop(("length", la)))[..., None]
        for (site, layer), value in outputs.items():
            value = ways[layer].received(value) if site == "down_proj" else value
            last = value[rows, lengths - 1].double()
            average = torch.einsum("bt,btd->bd", in_prompt, value.float()).double() / lengths[:, None]
            means[site, "last"][layer] += last.sum(0).cpu()
            means[site, "prompt"][layer] += average.sum(0).cpu()
            if site == "residual":
                for row, i in enumerate(batch):
                    if i < len(kept):
                        kept[i, layer] = last[row].float().cpu()
        for number, span in enumerate(SPANS):
            where = spans == number
            count[span] += int(where.sum())
            for layer, value in inputs.items():
                h = value[where].float()
                gram[layer, span] += (h.T @ h).double().cpu()
                sums[layer, span] += h.double().sum(0).cpu()
        count["mean"] += len(batch)
        for layer, value in inputs.items():
            h = (torch.einsum("bt,btf->bf", in_prompt, value.float()).double() / lengths[:, None]).cpu()
            gram[layer, "mean"] += h.T @ h
            sums[layer, "mean"] += h.sum(0)
        done += len(batch)
        progress(done)
    found = Statistics.of(
        {key: value.float() for key, value in gram.items()},
        sums,
        count,
        {key: value / max(1, len(conversations)) for key, value in means.items()},
        kept,
    )
    return Statistics(found.tensors | behind_tensors(model, {la: ways[la] for la in gram_layers}))


@torch.inference_mode()
def second_moments(
    model: Any, conversations: Sequence[Encoded], layers: Sequence[int], *, pad_id: int, batch_size: int
) -> dict[int, torch.Tensor]:
    """``gram`` over all tokens of conversations and nothing else, by block; float64 of shape (d_ff, d_ff), on the CPU.

    Args:
        model: a causal language model; no block above those asked for is run.
        conversations: encoded questions with their answers.
        layers: the blocks.
        pad_id: token id to pad with.
        batch_size: conversations a forward pass.
    """
    inner = down_proj(model, 0).weight.shape[1]
    found = {layer: torch.zeros(inner, inner, dtype=torch.float64) for layer in layers}
    ways = {layer: way for layer, way in arrivals(model, layers).items() if way.weight is not None}
    lengths = {layer: down_proj(model, layer) for layer in ways}  # behind a norm, as in ``collect``
    watch = partial(capture, lengths, {layer: down_proj(model, layer) for layer in layers})
    how = {"pad_id": pad_id, "batch_size": batch_size, "last": max(layers)}
    for batch, (outputs, inputs) in passes(model, conversations, watch, **how):
        sizes = [len(conversations[i].ids) for i in batch]
        read = torch.arange(max(sizes)) < torch.tensor(sizes)[:, None]
        for layer, value in inputs.items():
            if layer in ways:
                value = value.float() / ways[layer].lengths(outputs[layer])[..., None]
            found[layer] += _products(value[read.to(value.device)]).cpu()
    return found


def _products(h: torch.Tensor) -> torch.Tensor:
    """``h^T h`` summed in float32, for h of shape (tokens, d_ff)."""
    if h.dtype != torch.bfloat16 or h.device.type != "cpu":
        return h.float().T @ h.float()
    # A product of two bfloat16 numbers is exact in float32, so nothing is lost in half the time.
    before = torch.backends.mkldnn.matmul.fp32_precision
    torch.backends.mkldnn.matmul.fp32_precision = "bf16"
    try:
        return h.float().T @ h.float()
    finally:
        torch.backends.mkldnn.matmul.fp32_precision = before


def collect_rows(model: Any, chat: Chat, rows: Sequence[Row], **how: Any) -> Statistics:
    """Statistics of rows: questions with their answers, or prompts alone where rows have no answer.

    Answers matter to what is kept in place. Of reference prompts, whose answers are empty, only the prompt does.

    Args:
        model: a causal language model.
        chat: how questions are put to it.
        rows: with ``question`` and, if it is to be read, ``answer``.
        how: further arguments of ``collect``.
    """
    conversations = [chat.encode(row["question"], row.get("answer") or None) for row in rows]
    return collect(model, conversations, pad_id=chat.tokenizer.pad_token_id, **how)
