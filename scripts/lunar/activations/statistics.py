"""One batched pass over a set: all that directions, the exact solve and the PCA figures need of it.

Nothing grows with the number of tokens: Gram matrices and means are running sums, and the activations kept for
figures are those of the first ``sample`` prompts. Where it gains, the pass multiplies in bfloat16, as answers are made
(``lunar.model.load.mixed_precision``); sums over its activations are float32 and float64 all the same.

Tensors of a set's statistics (``d`` = d_model, ``f`` = d_ff, ``L`` = blocks):

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
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from lunar.activations.hooks import capture
from lunar.model.chat import SPANS, Encoded, batches_by_length, pad
from lunar.model.load import blocks, down_proj, mixed_precision

ROWS = (*SPANS, "mean")
SITES = ("residual", "down_proj")
TOKENS = ("last", "prompt")


@torch.inference_mode()
def collect(
    model: Any,
    conversations: Sequence[Encoded],
    *,
    pad_id: int,
    batch_size: int,
    gram_layers: Sequence[int] = (),
    sample: int = 0,
    progress: Callable[[int], None] = lambda done: None,
) -> dict[str, torch.Tensor]:
    """Statistics of a set of conversations, as listed at the top of this module.

    Args:
        model: a causal language model; only its decoder runs, no logits are computed.
        conversations: encoded questions, with answers where answer tokens matter.
        pad_id: token id to pad with.
        batch_size: conversations a forward pass.
        gram_layers: blocks whose Gram matrices are summed (none: only means and the sample are made).
        sample: number of prompts, from the first, whose residual stream is kept.
        progress: called with the number of conversations done.
    """
    layers = range(len(blocks(model)))
    width, inner = down_proj(model, 0).weight.shape
    device = model.device
    gram = {(la, sp): torch.zeros(inner, inner, dtype=torch.float64) for la in gram_layers for sp in ROWS}
    sums = {key: torch.zeros(inner, dtype=torch.float64) for key in gram}
    count = dict.fromkeys(ROWS, 0)
    means = {
        (site, tokens): torch.zeros(len(layers), width, dtype=torch.float64) for site in SITES for tokens in TOKENS
    }
    kept = torch.zeros(min(sample, len(conversations)), len(layers), width)
    done = 0
    for batch in batches_by_length([len(c.ids) for c in conversations], batch_size):
        chosen = [conversations[i] for i in batch]
        ids, mask = pad([c.ids for c in chosen], pad_id, "right")
        spans, _ = pad([c.spans for c in chosen], -1, "right")
        spans = spans.to(device)
        lengths = torch.tensor([c.prompt_length for c in chosen], device=device)
        rows = torch.arange(len(chosen), device=device)
        in_prompt = (torch.arange(ids.shape[1], device=device) < lengths[:, None]).float()
        modules = {("residual", la): blocks(model)[la] for la in layers}
        modules |= {("down_proj", la): down_proj(model, la) for la in layers}
        with (
            mixed_precision(model),
            capture(modules, {la: down_proj(model, la) for la in gram_layers}) as (outputs, inputs),
        ):
            model.get_decoder()(input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False)
        for (site, layer), value in outputs.items():
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
    result = {f"gram.{layer}.{span}": value.float() for (layer, span), value in gram.items()}
    result |= {f"sum.{layer}.{span}": value for (layer, span), value in sums.items()}
    result |= {f"tokens.{span}": torch.tensor(number) for span, number in count.items()}
    result |= {f"mean.{site}.{tokens}": value / max(1, len(conversations)) for (site, tokens), value in means.items()}
    return result | {"sample": kept}
