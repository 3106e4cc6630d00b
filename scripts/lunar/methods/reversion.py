"""What fine-tuning wrote about the forget set is taken back, by a closed form at every matrix that it changed.

Source: this project. LUNAR's edits hide knowledge that stays in the weights, so ten of twenty answers relearned bring
the others back. The person who unlearns mostly still has the model from before the facts were learned. Fine-tuning has
changed a matrix from W0 to W. The matrix's inputs on forget tokens and on kept tokens share most directions, and differ
in some. These are the generalised eigenvectors

    F u = gamma (K + lambda I) u,        U^T (K + lambda I) U = I,

where F is the mean of ``h h^T`` over forget tokens, and K the mean over kept ones. gamma is the variance of the forget
set along u as a multiple of that of kept data. Only directions with gamma above a threshold are edited. In their span
the matrix is made to give on forget tokens what the model from before gives there. With h0 the input in that model and
``g = W0 h0 - W h``, the change in that span that minimises ``sum_t || D h_t - g_t ||^2`` over forget tokens is

    D = (mean_t g_t h_t^T) U diag(1 / gamma) U^T.

At the first changed block h0 = h, so ``D = -(W - W0) (K + lambda I) U U^T``. What fine-tuning wrote along U is gone
there, and nothing of it is left to amplify or to solve for. Blocks are edited from the lowest up, and the matrices of a
block in the order in which it uses them. Each is solved on activations that the edits before it leave.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import torch
from pydantic import Field
from torch import nn

from lunar.activations.hooks import calls
from lunar.activations.passes import passes
from lunar.edits.edit import Edit, Factors, block_of
from lunar.edits.solve import own_directions, ridge_strength
from lunar.errors import LunarError
from lunar.methods.base import Job, Method, Outcome, method
from lunar.methods.settings import Fitted, KeptSet, Weights
from lunar.model.chat import PREFIX, SPANS, Encoded
from lunar.model.hooks import hooked
from lunar.model.load import blocks, changed_modules, mixed_precision
from lunar.plan.declare import Positive


class Streams:
    """The residual stream of conversations at the input of one block, which they go through block by block.

    Attributes:
        wanted: by batch, the weight of each token in sums, shape (conversations, tokens); 0 leaves it out.
    """

    def __init__(
        self,
        model: Any,
        conversations: Sequence[Encoded],
        weights: Sequence[Mapping[int, float]],
        pad_id: int,
        first: int,
    ) -> None:
        """Run the blocks below ``first``.

        Args:
            model: a causal language model.
            conversations: encoded questions and answers.
            weights: of each conversation's tokens, by span; a span that is not named weighs 0.
            pad_id: token id to pad with.
            first: the block that comes next.
        """
        self.model = model
        self.wanted: list[torch.Tensor] = []
        self.states: list[torch.Tensor] = []
        self.arguments: list[list[dict[str, Any]]] = []  # of each block from ``first`` on, such as the mask
        self.first = first
        above = list(blocks(model))[first:]
        for batch, found in passes(model, conversations, partial(calls, above), pad_id=pad_id):
            self.states.append(found[0][0][0].clone())
            self.arguments.append([named for _, named in found])
            found.clear()  # the streams of all other blocks
            weighed = torch.zeros(self.states[-1].shape[:2])
            for row, i in enumerate(batch):
                own = [weights[i].get(span, 0.0) for span in conversations[i].spans]
                weighed[row, : len(own)] = torch.tensor(own)
            self.wanted.append(weighed.to(model.device))

    def inputs(
        self, block: nn.Module, layer: int, names: Sequence[str], advance: bool = False
    ) -> Iterator[tuple[dict[str, torch.Tensor], torch.Tensor]]:
        """What linear modules of a block read and give, batch by batch.

        Args:
            block: the block, edited or not, that stands at ``layer``.
            layer: its place.
            names: modules within the block.
            advance: go on to the next block with what this one gives.

        Yields:
            By name, input and output side by side, float32 of shape (tokens, inputs + outputs), of the tokens with a
            weight; these weights, shape (tokens,).
        """
        for number, weighed in enumerate(self.wanted):
            found: dict[str, torch.Tensor] = {}
            where = weighed > 0
            keep = [(block.get_submodule(name), partial(_keep, found, name, where)) for name in names]
            with torch.inference_mode(), mixed_precision(self.model), hooked(after=keep):
                given = block(self.states[number], **self.arguments[number][layer - self.first])
            if advance:
                self.states[number] = given[0] if isinstance(given, tuple) else given
            yield found, weighed[where]

    def advance(self, block: nn.Module, layer: int) -> None:
        """Go through a block."""
        for _ in self.inputs(block, layer, (), advance=True):
            pass


def _keep(
    found: dict[str, torch.Tensor],
    name: str,
    where: torch.Tensor,
    module: nn.Module,
    args: Any,
    kwargs: Any,
    output: Any,
) -> None:
    found[name] = torch.cat([args[0][where].float(), output[where].float()], dim=1)


def _together(batches: Iterator[tuple[dict[str, torch.Tensor], torch.Tensor]]) -> dict[str, torch.Tensor]:
    """All batches of ``Streams.inputs`` as one, without the weights."""
    parts: dict[str, list[torch.Tensor]] = {}
    for found, _ in batches:
        for name, both in found.items():
            parts.setdefault(name, []).append(both)
    return {name: torch.cat(part) for name, part in parts.items()}


def written(after: Any, before: Any) -> dict[int, list[str]]:
    """The linear modules whose weights differ between two models, by block, as the block names them.

    Raises:
        LunarError: the models have different numbers of blocks, or no such weight differs.
    """
    found: dict[int, list[str]] = {}
    for name in changed_modules(after, before):
        found.setdefault(block_of(name), []).append(name.split(".", 2)[2])
    if not found:
        raise LunarError(
            "no linear module differs from the model from before fine-tuning; there is nothing to take back"
        )
    return found


def second_moments(
    batches: Iterator[tuple[dict[str, torch.Tensor], torch.Tensor]], widths: Mapping[str, int]
) -> dict[str, torch.Tensor]:
    """Mean of ``h h^T`` over tokens by their weights, of each module's inputs; float64 of shape (inputs, inputs)."""
    sums: dict[str, Any] = {}
    total = 0.0
    for found, weights in batches:
        total += float(weights.sum())
        for name, both in found.items():
            h = both[:, : widths[name]]
            sums[name] = sums.get(name, 0.0) + ((weights[:, None] * h).T @ h).double().cpu()
    return {name: value / total for name, value in sums.items()}


def sites(found: Mapping[str, torch.Tensor], widths: Mapping[str, int]) -> list[list[str]]:
    """Modules in the order in which they were called, those that read the same input together.

    Args:
        found: inputs and outputs side by side, as ``Streams.inputs`` gives them.
        widths: number of inputs of each.
    """
    groups: list[list[str]] = []
    for name, both in found.items():
        read = both[:, : widths[name]]
        same = groups and widths[groups[-1][0]] == widths[name]
        if same and torch.equal(found[groups[-1][0]][:, : widths[name]], read):
            groups[-1].append(name)
        else:
            groups.append([name])
    return groups


@method("reversion", needs=("model", "model_before", "rows", "references"))
class Reversion(Method):
    """Every fine-tuned matrix does what it did before, along directions in which the forget set varies most."""

    class Settings(Fitted):
        """Settings of every fit, and the threshold of directions."""

        threshold: Positive = Field(
            description="Directions are edited whose variance on the forget set is at least this multiple of that on "
            "kept data. Lower values also remove knowledge about others."
        )
        keep: dict[Literal[KeptSet, "declined", "fictitious", "harmful"], Weights] = Field(
            description="Spans that are kept, by set, with a weight for each token. `fictitious` and `harmful` are the "
            "clean reference prompts with the model's refusals."
        )

    def unlearn(self, job: Job) -> Outcome:
        """Edit block by block; the streams of three sets of tokens go along."""
        changed = written(job.model, job.model_before)
        first, pad_id = min(changed), job.chat.tokenizer.pad_token_id
        forget = [job.chat.encode(row["question"], row["answer"]) for row in self.settings.forgotten(job.rows)]
        own = [{span: 1.0 for span in range(len(SPANS)) if span != PREFIX}] * len(forget)
        now, then = (Streams(model, forget, own, pad_id, first) for model in (job.model, job.model_before))
        kept = Streams(job.model, *self.kept(job), pad_id, first)
        edit: Edit = {}
        facts: dict[str, Any] = {}
        for layer in range(first, len(blocks(job.model))):
            block = copy.deepcopy(blocks(job.model)[layer]).requires_grad_(False)
            old = blocks(job.model_before)[layer]
            before = _together(then.inputs(old, layer, changed.get(layer, ()), advance=True))
            for name, change, told in self.of_block(block, old, layer, before, now, kept):
                edit[f"layers.{layer}.{name}"], facts[f"layers.{layer}.{name}"] = change, told
            now.advance(block, layer)
            kept.advance(block, layer)
            ranks = [told["rank"] for name, told in facts.items() if name.startswith(f"layers.{layer}.")]
            job.say(f"block {layer}: " + (f"ranks {min(ranks)} to {max(ranks)}" if ranks else "as it was"))
        if not edit:
            raise LunarError(f"threshold: no direction has {self.settings.threshold:g} times as much of the forget set")
        trained = sum(part.numel() for change in edit.values() for part in vars(change).values())
        return Outcome(edit, trained, {"modules": facts})

    def kept(self, job: Job) -> tuple[list[Encoded], list[dict[int, float]]]:
        """Conversations whose tokens are kept, and by conversation the weight of each span's tokens."""
        conversations, weights = [], []
        for name, spans in self.settings.keep.items():
            for row in job.rows[name]:
                conversations.append(
                    job.chat.encode(row["question"], row.get("answer") or row.get("prediction") or None)
                )
                weights.append({SPANS.index(span): weight for span, weight in spans.items()})
        return conversations, weights

    def of_block(
        self,
        block: nn.Module,
        old: nn.Module,
        layer: int,
        before: Mapping[str, torch.Tensor],
        now: Streams,
        kept: Streams,
    ) -> Iterator[tuple[str, Factors, dict[str, float]]]:
        """The changes of a block's modules, each made in ``block`` before the next is solved for; and facts of each.

        Args:
            block: a copy of the block as it is, to be changed.
            old: the block from before fine-tuning.
            layer: their place.
            before: inputs and outputs of its changed modules on the forget set, in the model from before.
            now, kept: the streams of the forget set and of what is kept, below the block.
        """
        widths = {name: block.get_submodule(name).in_features for name in before}
        groups = sites(before, widths)
        moments = second_moments(kept.inputs(block, layer, [group[0] for group in groups]), widths)
        for group in groups:
            width, held = widths[group[0]], moments[group[0]]
            ready = _together(now.inputs(block, layer, group))
            h = ready[group[0]][:, :width]
            ridge = ridge_strength(held, self.settings.ridge) * torch.eye(width, dtype=torch.float64)
            own = own_directions(h, held + ridge, self.settings.threshold)
            for name in group if len(own.gamma) else ():
                goal = (before[name] - ready[name])[:, width:].cpu()
                module, base = block.get_submodule(name), old.get_submodule(name)
                weight, change = module.weight.double().cpu(), own.fit(goal)
                delta = change.product().double()
                wrote = weight - base.weight.detach().double().cpu()
                yield (
                    name,
                    change,
                    {
                        "rank": len(own.gamma),
                        "of_update": float(delta.norm() / wrote.norm()),
                        "kept": float(((delta @ held * delta).sum() / (weight @ held * weight).sum()).sqrt()),
                        "left": float((goal - h.cpu() @ delta.float().T).norm() / goal.norm().clamp(min=1e-30)),
                    },
                )
                module.weight.copy_(weight + delta)
