"""The stages of unlearning, each measured beside its floor and the way of the published codes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from lunar.activations.direction import direction
from lunar.activations.hooks import Steering
from lunar.activations.statistics import collect
from lunar.bench.floors import Work, answer_work, gram_work, pass_work, solve_work
from lunar.bench.machine import Machine
from lunar.bench.published_ways import answer_one_by_one, pass_one_by_one
from lunar.bench.random_inputs import RIDGE, Numbers
from lunar.bench.size import How
from lunar.bench.timing import timed
from lunar.edits.arriving import to_weights
from lunar.edits.descent import Problem, Stopwatch, descend
from lunar.edits.edit import save
from lunar.edits.solve import detector, redirect, ridge_strength
from lunar.metrics.layer_score import Embed, choose, layer_score
from lunar.model.chat import Encoded
from lunar.model.generate import generate
from lunar.model.load import mixed_precision

COEFFICIENT = 2.0
LACK = "I'm sorry, but I lack the knowledge to answer that question."


@dataclass
class Stage:
    """A stage as measured.

    Attributes:
        name: of the stage.
        what: what was computed.
        seconds: median of the timings.
        peak: bytes of memory at most, of the whole process on a CPU, of torch's tensors on a GPU.
        floor: seconds, see ``lunar.bench.floors``.
        work: what the floor is computed from.
        published: how the published codes do the same; empty where they have no such stage, the next three too.
        timed: how much of that was run, the rest being extrapolated.
        published_seconds: how long all of it takes.
        published_peak: its ``peak``.
        parts: seconds of the stage's parts.
    """

    name: str
    what: str
    seconds: float
    peak: int
    floor: float
    work: list[Work]
    published: str = ""
    timed: str = ""
    published_seconds: float | None = None
    published_peak: int | None = None
    parts: dict[str, float] = field(default_factory=dict)

    def row(self) -> dict[str, Any]:
        """The stage as JSON, with the share of its time that the floor is and the ratio of the published time to it."""
        slow = self.published_seconds
        return asdict(self) | {
            "of_floor": self.floor / self.seconds,
            "ratio": None if slow is None else slow / self.seconds,
        }


def answer(model: Any, how: How, prompts: Sequence[Encoded], before: Callable[[], None] | None = None) -> list[str]:
    """Answers as the workflow generates them; ``before`` is called before each batch."""
    return generate(
        model,
        Numbers(),  # type: ignore[arg-type]
        [" ".join(map(str, one.ids)) for one in prompts],
        max_new_tokens=how["new_tokens"],
        batch_size=how["batch_size"]["generation"],
        before_batch=before,
    )


def steered(model: Any, how: How, layer: int, vector: torch.Tensor, prompts: Sequence[Encoded]) -> list[str]:
    """The same with a vector added at one block while prompts are processed."""
    with Steering(model, layer, vector) as steering:
        return answer(model, how, prompts, steering.arm)


def multiplied_in(model: Any, how: How) -> str:
    """The dtype in which the workflow multiplies this model's matrices here."""
    return "bfloat16" if mixed_precision(model)._enabled else how["dtype"]


def pass_stage(model: Any, how: How, prompts: Sequence[Encoded], here: Machine) -> Stage:
    """One batched activation pass over all prompts."""
    batch, some, key = how["batch_size"]["pass"], prompts[: how["published"]["prompts"]], "batch_size.pass"
    collect(model, prompts[:batch], pad_id=0, batch_size=batch)  # a warm-up, as all that is not timed
    _, seconds, peak = timed(
        "activation pass",
        key,
        lambda: collect(model, prompts, pad_id=0, batch_size=batch),
        model.device,
        how["repeats"],
    )
    pass_one_by_one(model, some[:1])
    _, slow, slow_peak = timed("activation pass one by one", key, lambda: pass_one_by_one(model, some), model.device)
    work = pass_work(how, [one.prompt_length for one in prompts], multiplied_in(model, how))
    tokens = sum(one.prompt_length for one in prompts)
    return Stage(
        "activation pass",
        f"means at every block, {len(prompts)} prompts, {tokens} tokens, batches of {batch}",
        seconds,
        peak,
        work.floor(here),
        [work],
        "a forward pass a prompt, all hidden states and logits",
        f"{len(some)} of {len(prompts)} prompts",
        slow * len(prompts) / len(some),
        slow_peak,
    )


def answer_stage(
    name: str,
    model: Any,
    how: How,
    prompts: Sequence[Encoded],
    layers: Sequence[int] | None,
    here: Machine,
) -> Stage:
    """Answers to prompts; with ``layers`` so many times, steered at each in turn."""
    times, vector, key = len(layers or [0]), torch.ones(how["model"]["hidden_size"]), "batch_size.generation"
    some = prompts[: how["published"]["answers"]]

    def ours() -> None:
        for layer in layers or []:
            steered(model, how, layer, vector, prompts)
        if layers is None:
            answer(model, how, prompts)

    def theirs() -> None:
        if layers is None:
            answer_one_by_one(model, some, how["new_tokens"])
        else:
            with Steering(model, layers[0], vector) as steering:
                answer_one_by_one(model, some, how["new_tokens"], steering.arm)

    answer(model, how, prompts[: how["batch_size"]["generation"]])
    _, seconds, peak = timed(name, key, ours, model.device, how["repeats"])
    answer_one_by_one(model, some[:1], 2)
    _, slow, slow_peak = timed(f"{name} one by one", key, theirs, model.device)
    once = answer_work(how, [one.prompt_length for one in prompts], multiplied_in(model, how))
    work = Work(times * once.operations, times * once.moved, once.dtype)
    said = f"{len(prompts)} answers of {how['new_tokens']} tokens, batches of {how['batch_size']['generation']}"
    return Stage(
        name,
        said if layers is None else f"at each of {times} blocks {said}",
        seconds,
        peak,
        work.floor(here),
        [work],
        "one prompt at a time",
        f"{len(some)} of {times * len(prompts)} answers",
        slow * times * len(prompts) / len(some),
        slow_peak,
    )


def solver_stages(how: How, given: Problem, here: Machine, adamw: Mapping[str, Any], seed: int) -> list[Stage]:
    """Gram sums, solve, and both together beside AdamW on the same cached rows."""
    rows, inner = given.inputs.shape
    device, epochs, key = given.inputs.device, how["published"]["epochs"], "prompts"
    gram, target = given.sums()
    strength = ridge_strength(gram, RIDGE)
    detector(gram, target, strength)
    _, summed, gram_peak = timed("Gram sums", key, given.sums, device, how["repeats"])
    _, solved, solve_peak = timed("solve", key, lambda: detector(gram, target, strength), device, how["repeats"])
    works = [gram_work(rows, inner), solve_work(inner)]
    floors = [work.floor(here) for work in works]
    some = {**adamw, "epochs": epochs}
    (_, curve), _, peak = timed("training", key, lambda: descend(given, some, seed), device)
    what = f"{rows} rows of width {inner}, float32 into float64"
    return [
        Stage("Gram sums", what, summed, gram_peak, floors[0], works[:1]),
        Stage("solve", f"{inner} x {inner}, float64", solved, solve_peak, floors[1], works[1:]),
        Stage(
            "training, rows cached",
            "Gram sums and solve",
            summed + solved,
            max(gram_peak, solve_peak),
            sum(floors),
            works,
            f"{adamw['epochs']} epochs of AdamW on the same rows, batches of {adamw['batch_size']}",
            f"{epochs} of {adamw['epochs']} epochs",
            curve[-1]["seconds"] / epochs * adamw["epochs"],
            peak,
        ),
    ]


def unlearn_author(
    model: Any, how: How, prompts: Sequence[Encoded], embed: Embed, path: str | Path
) -> dict[str, float]:
    """Unlearn one author, from the loaded model to the saved edit.

    Args:
        model: with random weights.
        how: an entry of ``bench.sizes``.
        prompts: the author's, then as many that are refused, then others; all but the author's are kept.
        embed: texts to unit vectors, for the choice among the candidates.
        path: where the edit is written.

    Returns:
        Seconds by part.
    """
    parts = ("directions", "steered answers", "their scores", "sums at the chosen block", "solve and save")
    watches = {part: Stopwatch(model.device) for part in parts}
    batch, count = how["batch_size"]["pass"], how["author"]
    author, refused = prompts[:count], prompts[count : 2 * count]
    with watches["directions"].running():
        means = [collect(model, group, pad_id=0, batch_size=batch) for group in (refused, author)]
        vectors = COEFFICIENT * direction(*means, "residual", "last")
    scores = {}
    for layer in how["candidates"]:
        with watches["steered answers"].running():
            answers = steered(model, how, layer, vectors[layer], author)
        with watches["their scores"].running():
            scores[layer] = layer_score(answers, LACK, [LACK], embed)["score"]
    best = choose(scores, 1)["best"]
    with watches["sums at the chosen block"].running():
        found = {
            name: collect(model, group, pad_id=0, batch_size=batch, gram_layers=[best])
            for name, group in (("forget", author), ("retain", prompts[count:]))
        }
    with watches["solve and save"].running():
        keep = {"forget": {"prefix": 1.0}, "retain": {"prefix": 1.0, "question": 1.0, "suffix": 1.0}}
        given = ([found], best, vectors[best][None], ["question", "suffix"], keep, RIDGE)
        save(to_weights(redirect(*given)[0], *given), path)
    return {part: watch.seconds for part, watch in watches.items()}
