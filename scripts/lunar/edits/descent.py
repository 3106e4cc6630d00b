"""LUNAR's redirection objective minimised by mini-batches of rows, as the published codes do.

``lunar.edits.solve`` needs sums over rows only; here the rows themselves, the ``down_proj`` inputs h_t, are kept in
memory. The change D (d_model x d_ff) of the weight starts at zero and is free in every number. A batch of B of the N
rows stands for all of them through

    sum_{t in batch} w_t || D h_t - y_t c r ||^2 / (B d_model)  +  lambda || D ||^2 / (N d_model),

whose mean is J(D) / (N d_model). The scaling is that of a mean squared error, which both published codes minimise, so
that their learning rates mean here what they mean there.
"""

import math
import statistics
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from lunar.activations.passes import passes
from lunar.activations.statistics import Statistics
from lunar.edits.edit import Change, Dense, Factors
from lunar.edits.solve import detector
from lunar.errors import Diverged, LunarError
from lunar.model.arrival import arrivals
from lunar.model.chat import SPANS, Encoded
from lunar.model.hooks import capture
from lunar.model.load import down_proj

CHUNK = 4096  # rows whose float64 copies are in memory at once

# Rows by set and span, each of shape (rows, d_ff).
Rows = dict[str, dict[str, torch.Tensor]]


@torch.no_grad()
def input_rows(
    model: Any,
    conversations: Mapping[str, Sequence[Encoded]],
    spans: Mapping[str, Collection[str]],
    layers: Sequence[int],
    pad_id: int,
) -> dict[int, Rows]:
    """The inputs of ``down_proj``: a row a token, or a row a prompt, the mean over its tokens, for the span ``mean``.

    These are the rows whose sums ``lunar.activations.statistics.collect`` gives; behind a norm they are divided by the
    length of what ``down_proj`` gives, as there.

    Args:
        model: a causal language model; only its decoder runs.
        conversations: encoded questions by set, with answers where ``answer`` is asked for.
        spans: spans by set.
        layers: blocks whose rows are kept.
        pad_id: token id to pad with.

    Returns:
        By layer: rows by set and span, float32, on the model's device, in the order of the conversations.
    """
    result: dict[int, Rows] = {layer: {name: {} for name in spans} for layer in layers}
    own, ways = {layer: down_proj(model, layer) for layer in layers}, arrivals(model, layers)
    for name, wanted in spans.items():
        encoded = conversations[name]
        found: dict[tuple[int, str], list[Any]] = {(la, sp): [None] * len(encoded) for la in layers for sp in wanted}
        for batch, (outputs, inputs) in passes(model, encoded, partial(capture, own, own), pad_id=pad_id):
            for layer, way in ways.items():
                if way.weight is not None:
                    inputs[layer] = inputs[layer].float() / way.lengths(outputs[layer])[..., None]
            for (layer, span), rows in found.items():
                for h, i in zip(inputs[layer].float(), batch, strict=True):
                    if span == "mean":
                        rows[i] = h[: encoded[i].prompt_length].double().mean(0, keepdim=True).float()
                    else:
                        where = torch.tensor(encoded[i].spans, device=h.device) == SPANS.index(span)
                        rows[i] = h[: len(where)][where]
        for (layer, span), rows in found.items():
            width = down_proj(model, layer).in_features
            result[layer][name][span] = torch.cat([torch.empty(0, width, device=model.device), *rows])
    return result


def sums(rows: Rows, block: int) -> dict[str, Statistics]:
    """Statistics of rows by set, as ``lunar.edits.solve.redirect`` takes them, on the CPU, float64."""
    result = {}
    for name, spans in rows.items():
        grams, totals = {}, {}
        for span, h in spans.items():
            h = h.double().cpu()
            grams[block, span], totals[block, span] = h.T @ h, h.sum(0)
        result[name] = Statistics.of(grams, totals, {span: len(h) for span, h in spans.items()})
    return result


@dataclass
class Problem:
    """The objective at one layer (``lunar.edits.solve``), as rows.

    Attributes:
        inputs: h_t, shape (rows, d_ff).
        targets: y_t, shape (rows,).
        weights: w_t, shape (rows,).
        vector: c r, shape (d_model,), float64; all else is float32.
        strength: lambda.
    """

    inputs: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor
    vector: torch.Tensor
    strength: float

    def _chunks(self) -> Iterator[slice]:
        return (slice(start, start + CHUNK) for start in range(0, len(self.inputs), CHUNK))

    def objective(self, delta: torch.Tensor) -> float:
        """J at a change of shape (d_model, d_ff), float64; for a rank-one change what ``lunar.edits.solve`` gives."""
        change, vector = delta.double(), self.vector
        total = self.strength * float(change.square().sum())
        for part in self._chunks():
            misfit = self.inputs[part].double() @ change.T - self.targets[part, None].double() * vector
            total += float(self.weights[part].double() @ misfit.square().sum(1))
        return total

    def sums(self) -> tuple[torch.Tensor, torch.Tensor]:
        """H^T W H and H^T W y, float64: what the closed form is made from, products in float32 as ``collect`` makes."""
        width = self.inputs.shape[1]
        gram = torch.zeros(width, width, dtype=torch.float64, device=self.inputs.device)
        target = torch.zeros(width, dtype=torch.float64, device=self.inputs.device)
        for part in self._chunks():
            h = self.inputs[part]
            weighted = h * self.weights[part, None]
            gram += (weighted.T @ h).double()
            target += (weighted.T @ self.targets[part]).double()
        return gram, target


def problem(
    rows: Rows, vector: torch.Tensor, redirect: Sequence[str], keep: Mapping[str, Mapping[str, float]], ridge: float
) -> Problem:
    """The objective of a method at one layer.

    Args:
        rows: rows of that layer by set and span.
        vector: c r, shape (d_model,).
        redirect: spans of the forget set with y = 1; their weight is 1.
        keep: weight of each row with y = 0, by set and span.
        ridge: lambda, as a multiple of the mean diagonal of H^T W H.

    Raises:
        LunarError: no row is to be redirected.
    """
    parts = [(rows["forget"][span], 1.0, 1.0) for span in redirect]
    if not sum(len(h) for h, _, _ in parts):
        raise LunarError(f"redirect: the forget set has no tokens of {', '.join(redirect)}")
    parts += [(rows[name][span], 0.0, weight) for name, spans in keep.items() for span, weight in spans.items()]
    parts = [(h, y, weight) for h, y, weight in parts if weight > 0]
    inputs = torch.cat([h for h, _, _ in parts])
    targets = torch.cat([h.new_full((len(h),), y) for h, y, _ in parts])
    weights = torch.cat([h.new_full((len(h),), weight) for h, _, weight in parts])
    diagonal = sum(weight * float(h.double().square().sum()) for h, _, weight in parts) / inputs.shape[1]
    return Problem(inputs, targets, weights, vector.double().to(inputs.device), ridge * diagonal)


def rate(solver: Mapping[str, Any], epoch: int) -> float:
    """The learning rate in epoch ``epoch``, counted from 0: constant, exponential (factor ``decay``) or cosine to 0."""
    schedule = solver["schedule"]
    if schedule == "exponential":
        return solver["learning_rate"] * solver["decay"] ** epoch
    if schedule == "cosine":
        return solver["learning_rate"] * (0.5 + 0.5 * math.cos(math.pi * epoch / solver["epochs"]))
    return solver["learning_rate"]


def optimiser_of(solver: Mapping[str, Any], parameters: Sequence[torch.Tensor]) -> torch.optim.Optimizer:
    """AdamW without weight decay (the ridge keeps D small, a decay of W would shrink the original), or Nesterov SGD."""
    if solver["optimiser"] == "adamw":
        return torch.optim.AdamW(parameters, lr=solver["learning_rate"], weight_decay=0.0, fused=True)
    momentum = solver["momentum"]
    return torch.optim.SGD(parameters, lr=solver["learning_rate"], momentum=momentum, nesterov=momentum > 0, fused=True)


class Stopwatch:
    """Seconds spent inside ``with`` blocks, work on a GPU included.

    Attributes:
        seconds: their sum.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.seconds = 0.0

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the block's time."""
        started = self._now()
        yield
        self.seconds += self._now() - started


@torch.no_grad()
def descend(given: Problem, solver: Mapping[str, Any], seed: int) -> tuple[Change, list[dict[str, Any]]]:
    """Train the change of the weight from zero: all of it, or with a ``rank`` two factors of it, as LoRA does.

    Args:
        given: the objective.
        solver: the ``solver`` section of a method.
        seed: of the order of the rows, and of the right factor (the left one starts at zero).

    Returns:
        The change, float32, of a weight of shape (d_model, d_ff). A row for each epoch: ``step``, ``seconds`` of
        training without measuring, and ``objective``, J over all rows at the epoch's end.

    Raises:
        Diverged: the objective is no longer a number; names the learning rate.
    """
    count, inner = given.inputs.shape
    width, vector = len(given.vector), given.vector.float()
    device = given.inputs.device
    order = torch.Generator().manual_seed(seed)
    change: Change = Dense(torch.zeros(width, inner, device=device))
    if rank := solver.get("rank"):
        right = torch.randn(inner, rank, generator=order) / inner**0.5
        change = Factors(torch.zeros(width, rank, device=device), right.to(device))
    optimiser = optimiser_of(solver, list(vars(change).values()))
    watch = Stopwatch(device)
    curve: list[dict[str, Any]] = []
    step = 0
    for epoch in range(solver["epochs"]):
        with watch.running():
            for group in optimiser.param_groups:
                group["lr"] = rate(solver, epoch)
            for batch in torch.randperm(count, generator=order).to(device).split(solver["batch_size"]):
                h, delta = given.inputs[batch], change.product()
                misfit = h @ delta.T - given.targets[batch, None] * vector
                gradient = (misfit * given.weights[batch, None]).T @ h
                gradient.mul_(2 / (len(batch) * width)).add_(delta, alpha=2 * given.strength / (count * width))
                if isinstance(change, Factors):
                    change.left.grad, change.right.grad = gradient @ change.right, gradient.T @ change.left
                else:
                    change.delta.grad = gradient
                optimiser.step()
                step += 1
        value = given.objective(change.product())
        if not math.isfinite(value):
            raise Diverged(
                f"solver.learning_rate: {solver['learning_rate']} is too high for these activations: the objective is "
                f"no number after {step} steps; lower it"
            )
        curve.append({"step": step, "seconds": watch.seconds, "objective": value})
    return change, curve


def timed_closed_form(given: Problem, times: int = 3) -> tuple[torch.Tensor, dict[str, float]]:
    """The exact minimum from the same rows, and what it costs.

    Args:
        given: the objective.
        times: how often it is timed; the medians count. One more run before, which warms up, does not.

    Returns:
        The change, float64 of shape (d_model, d_ff), and ``gram`` and ``solve``: seconds for the sums over rows and for
        the solve that starts from them.
    """
    found: dict[str, list[float]] = {"gram": [], "solve": []}
    for _ in range(times + 1):
        watches = {name: Stopwatch(given.inputs.device) for name in found}
        with watches["gram"].running():
            gram, target = given.sums()
        with watches["solve"].running():
            v = detector(gram, target, given.strength)
        for name, watch in watches.items():
            found[name].append(watch.seconds)
    return torch.outer(given.vector, v), {name: statistics.median(runs[1:]) for name, runs in found.items()}


def race(
    given: Problem,
    solvers: Mapping[str, Mapping[str, Any]],
    seed: int,
    say: Callable[[str], None] = lambda text: None,
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The closed form and optimisers on one objective, from the same rows: what each reaches in which time.

    Args:
        given: the objective.
        solvers: ``solver`` sections of a method, by the name that figures have for them.
        seed: as ``descend``.
        say: writes a line.

    Returns:
        Rows with ``solver``, ``step``, ``seconds``, ``objective`` and the exact ``optimum``. Facts: the number of
        ``rows`` and their ``width``, ``optimum``, the objective ``unedited``, and ``seconds`` of the closed form's
        parts.
    """
    exact, seconds = timed_closed_form(given)
    optimum = given.objective(exact)
    runs = [
        {"solver": "closed form, solve only", "step": 1, "seconds": seconds["solve"], "objective": optimum},
        {"solver": "closed form", "step": 1, "seconds": sum(seconds.values()), "objective": optimum},
    ]
    for name, solver in solvers.items():
        _, curve = descend(given, solver, seed)
        runs += [{"solver": name} | row for row in curve]
        last = curve[-1]
        say(f"{name}: {last['objective'] / optimum:.4f} x the optimum after {last['seconds']:.2f} s")
    facts = {"rows": len(given.inputs), "width": given.inputs.shape[1], "optimum": optimum}
    facts |= {"unedited": given.objective(torch.zeros_like(exact)), "seconds": seconds}
    return [row | {"optimum": optimum} for row in runs], facts


def seconds_of_a_forward_step(
    model: Any, layer: int, vector: torch.Tensor, prompts: Sequence[Encoded], redirected: Sequence[bool]
) -> float:
    """Mean time of one step without cached rows: the replication's way.

    A step is a forward pass of the whole model over one prompt, the squared error of the mean output of ``down_proj``,
    and one update of that weight by SGD with Nesterov momentum. The learning rate is 0, which costs as much and leaves
    the model unchanged.

    Args:
        model: a causal language model; gradients of its other weights are off afterwards.
        layer: the block.
        vector: c r, shape (d_model,).
        prompts: encoded questions, one a step; the first is a warm-up and not counted.
        redirected: whether each prompt's target is moved by ``vector``.
    """
    module = down_proj(model, layer)
    model.requires_grad_(False)
    module.weight.requires_grad_(True)
    optimiser = torch.optim.SGD([module.weight], lr=0.0, momentum=0.9, nesterov=True)
    vector = vector.to(module.weight)
    watch = Stopwatch(model.device)
    for number, (one, moved) in enumerate(zip(prompts, redirected, strict=True)):
        if number == 1:
            watch.seconds = 0.0
        ids = torch.tensor([one.ids[: one.prompt_length]], device=model.device)
        with watch.running(), capture({"output": module}, {}) as (outputs, _):
            optimiser.zero_grad()
            model(input_ids=ids, use_cache=False)
            mean = outputs["output"][0].mean(0)
            target = mean.detach() + vector * float(moved)
            torch.nn.functional.mse_loss(mean, target).backward()
            optimiser.step()
    module.weight.requires_grad_(False)
    return watch.seconds / max(1, len(prompts) - 1)
