"""What each stage of unlearning costs at a model's size: time and peak memory, on random weights.

Beside each stage stand its floor on this machine (``lunar.bench.floors``), and the way of the published codes
(``lunar.bench.published_ways``), all in one run.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from lunar.bench.machine import Machine, measure_machine
from lunar.bench.published_ways import forward_steps
from lunar.bench.random_inputs import random_model, random_problem, random_prompts
from lunar.bench.size import How
from lunar.bench.stages import Stage, answer_stage, pass_stage, solver_stages, unlearn_author
from lunar.bench.timing import memory_named, timed
from lunar.metrics.layer_score import Embed
from lunar.model.load import bfloat16_gains


def bench(
    how: How,
    adamw: Mapping[str, Any],
    epochs: int,
    embed: Embed,
    device: torch.device,
    seed: int,
    path: str | Path,
    say: Callable[[str], None] = lambda text: None,
    matrices: int | None = None,
) -> tuple[Machine, list[Stage]]:
    """Measure every stage at one size.

    Args:
        how: an entry of ``bench.sizes``.
        adamw: ``solver`` of a method that is trained as the paper's code does it.
        epochs: of SGD in the replication's way.
        embed: texts to unit vectors.
        device: that computes.
        seed: of weights, prompts and rows.
        path: where the edit of the one author is written.
        say: called with a line on what is done.
        matrices: size of the matrices that rates are measured with (``measure_machine``).

    Returns:
        The machine and the stages, in the order of the table.
    """

    def with_model() -> tuple[Stage, Stage, Stage, dict[str, float], float, int, float, int]:
        with memory_named("model", "hidden_size"):
            model = random_model(how, device, seed)
        say("model made")
        passed = pass_stage(model, how, prompts, here)
        say(f"activation pass: {passed.seconds:.3g} s")
        shifted = answer_stage("steered answers", model, how, prompts[: how["author"]], how["candidates"], here)
        asked = random_prompts(how, how["answers"], seed + 1)
        answered = answer_stage("answers", model, how, asked, None, here)
        say(f"answers: steered {shifted.seconds:.3g} s, others {answered.seconds:.3g} s")
        parts, seconds, peak = timed(
            "one author", "batch_size.pass", lambda: unlearn_author(model, how, prompts, embed, path), device
        )
        say(f"one author forgotten: {seconds:.3g} s")
        return passed, shifted, answered, parts, seconds, peak, *forward_steps(model, how, prompts)

    # Where nothing is multiplied in it, a processor may take minutes for one product in bfloat16.
    rounded = ["bfloat16"] if device.type == "cuda" or bfloat16_gains() else []
    here = measure_machine(device, [how["dtype"], *rounded, "float32", "float64"], matrices)
    say("machine measured")
    prompts = random_prompts(how, how["prompts"], seed)
    passed, shifted, answered, parts, seconds, peak, step, step_peak = with_model()
    # The model is gone now: rows of training need its room.
    if device.type == "cuda":
        torch.cuda.empty_cache()
    with memory_named("rows of training", "prompts"):
        given = random_problem(how, sum(one.prompt_length for one in prompts), device, seed)
    gram, solve, cached = solver_stages(how, given, here, adamw, seed)
    say(f"Gram sums: {gram.seconds:.3g} s; solve: {solve.seconds:.3g} s")
    steps = len(prompts) * epochs
    uncached = Stage(
        "training, from prompts",
        "activation pass, Gram sums and solve",
        passed.seconds + cached.seconds,
        max(passed.peak, cached.peak),
        passed.floor + cached.floor,
        passed.work + cached.work,
        f"{epochs} epochs of SGD, a forward pass of one prompt a step",
        f"{how['published']['steps']} of {steps} steps",
        step * steps,
        step_peak,
    )
    theirs = (passed, shifted, cached)
    author = Stage(
        "one author forgotten",
        f"from loaded model to saved edit, {len(how['candidates'])} candidate blocks",
        seconds,
        peak,
        sum(stage.floor for stage in theirs),
        [work for stage in theirs for work in stage.work],
        "activation pass, steered answers and AdamW as above",
        "the sum of these rows",
        sum(stage.published_seconds or 0.0 for stage in theirs),
        max(stage.published_peak or 0 for stage in theirs),
        parts,
    )
    return here, [passed, gram, solve, shifted, answered, cached, uncached, author]
