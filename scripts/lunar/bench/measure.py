"""What each stage of unlearning costs at a model's size: time and peak memory, on random weights.

Beside each stage stand its floor on this machine, and the way of the published codes, all in one run. A floor is what
no code of that arithmetic gets below: its bytes over the bandwidth of memory or its operations over the rate of matrix
products, whichever takes longer, both measured here. Weights count as read once a batch, an addition and a
multiplication as two operations, and of attention only what a token's own past takes.
"""

import os
import platform
import random
import resource
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from lunar.activations.direction import direction
from lunar.activations.hooks import Steering
from lunar.activations.statistics import collect
from lunar.bench import size as bench_size
from lunar.edits.descent import Problem, Stopwatch, descend, seconds_of_a_forward_step
from lunar.edits.edit import down_proj_name, save
from lunar.edits.solve import detector, redirect, ridge_strength
from lunar.errors import LunarError, out_of_memory
from lunar.metrics.layer_score import Embed, choose, layer_score
from lunar.model.chat import PREFIX, QUESTION, SUFFIX, Encoded, batches_by_length
from lunar.model.generate import generate
from lunar.model.load import bfloat16_gains, mixed_precision
from lunar.plan.size import of_sizes

How = bench_size.How

RIDGE = 1e-3
COEFFICIENT = 2.0
LACK = "I'm sorry, but I lack the knowledge to answer that question."
EDGE = 4  # tokens of a template before a question, and after it
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass
class Machine:
    """What was measured of the device that computes.

    Attributes:
        name: processor or GPU.
        memory: bytes it has.
        bandwidth: bytes a second of that memory, reading and writing together.
        rates: operations a second of a product of two large matrices, by dtype.
    """

    name: str
    memory: int
    bandwidth: float
    rates: dict[str, float]


@dataclass
class Work:
    """Arithmetic that a stage cannot do without.

    Attributes:
        operations: additions and multiplications.
        moved: bytes read or written.
        dtype: in which matrices are multiplied.
    """

    operations: float
    moved: float
    dtype: str

    def floor(self, machine: Machine) -> float:
        """The least time it can take there, in seconds."""
        return max(self.operations / machine.rates[self.dtype], self.moved / machine.bandwidth)


@dataclass
class Stage:
    """A stage as measured.

    Attributes:
        name: of the stage.
        what: what was computed.
        seconds: median of the timings.
        peak: bytes of memory at most, of the whole process on a CPU, of torch's tensors on a GPU.
        floor: seconds, see the top of this module.
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


def matrix_rate(dtype: str, device: torch.device, size: int) -> float:
    """Operations a second of a product of two matrices of ``size`` rows and columns; the best of five."""
    # Random numbers: a GPU multiplies constant ones faster, since fewer of its bits change.
    left, right = (torch.randn(size, size, device=device).to(getattr(torch, dtype)) for _ in range(2))
    return 2 * size**3 / _shortest(lambda: left @ right, device)


def bandwidth(device: torch.device, size: int) -> float:
    """Bytes a second, read and written, of a copy of ``size`` bytes; the best of five."""
    source = torch.ones(size // 4, device=device)
    target = torch.empty_like(source)
    return 2 * size / _shortest(lambda: target.copy_(source), device)


def _shortest(work: Callable[[], Any], device: torch.device, times: int = 5) -> float:
    found = []
    for _ in range(times + 1):
        watch = Stopwatch(device)
        with watch.running():
            work()
        found.append(watch.seconds)
    return min(found[1:])  # the first is a warm-up


def measure_machine(device: torch.device, dtypes: Sequence[str], size: int | None = None) -> Machine:
    """Measure a device with matrices of ``size`` rows, by default as many as fill it."""
    cuda = device.type == "cuda"
    size = size or (8192 if cuda else 2048)
    rates = {dtype: matrix_rate(dtype, device, size) for dtype in sorted({*dtypes})}
    copied = min(2**31 if cuda else 2**28, 64 * size**2)
    name = torch.cuda.get_device_name(device) if cuda else processor()
    return Machine(name, memory_of(device), bandwidth(device, copied), rates)


def memory_of(device: torch.device) -> int:
    """Bytes of a GPU's memory, or of the machine's."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def processor() -> str:
    """What the processor calls itself."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def check(name: str, how: How, device: torch.device) -> None:
    """Whether the device can hold what is to be measured, before anything is.

    Args:
        name: of the entry of ``bench.sizes``.
        how: that entry, at its depth.
        device: that is to compute.

    Raises:
        LunarError: a GPU is wanted and there is none, or more memory than there is.
    """
    if how["gpu"] and device.type != "cuda":
        raise LunarError(
            f"bench.size: {name} is for a GPU, and torch {torch.__version__} sees none; install torch's CUDA build or "
            f"repair the driver, name another size, or set bench.sizes.{name}.gpu to false"
        )
    needed, beside = bench_size.memory(how)
    if device.type != "cuda":
        needed += beside
    here = memory_of(device)
    if needed > here:
        raise LunarError(
            f"bench.size: {name} needs about {needed / 1e9:.1f} GB and this {'GPU' if how['gpu'] else 'machine'} has "
            f"{here / 1e9:.1f} GB; name fewer than {how['model']['num_hidden_layers']} blocks ({name}-1-blocks), or "
            f"lower bench.sizes.{name}.batch_size or .prompts (whose tokens are the rows of training)"
        )


def random_model(how: How, device: torch.device, seed: int) -> Any:
    """A model of that size with random weights, made where it computes."""
    from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

    torch.manual_seed(seed)
    with device:
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**how["model"]), dtype=DTYPES[how["dtype"]])
    model.generation_config = GenerationConfig()  # no end of turn: every answer has its full length
    return model.to(device).eval()


def random_prompts(how: How, count: int, seed: int) -> list[Encoded]:
    """Prompts of random tokens, their lengths drawn evenly."""
    draw = random.Random(seed)
    found = []
    for _ in range(count):
        length = draw.randint(*how["lengths"])
        edge = min(EDGE, length // 3)
        spans = [PREFIX] * edge + [QUESTION] * (length - 2 * edge) + [SUFFIX] * edge
        found.append(Encoded([draw.randrange(how["model"]["vocab_size"]) for _ in range(length)], spans, length))
    return found


class Numbers:
    """Stands in for ``lunar.model.chat.Chat`` where there is no tokenizer: texts are token ids, written out."""

    end_ids = None
    tokenizer = SimpleNamespace(pad_token_id=0)

    def encode(self, question: str, turns: Sequence[Any] = ()) -> Encoded:
        """The tokens of a question."""
        ids = [int(number) for number in question.split()]
        return Encoded(ids, [QUESTION] * len(ids), len(ids))

    def decode(self, ids: Sequence[int]) -> str:
        """Tokens as text."""
        return " ".join(map(str, ids))


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


@torch.no_grad()
def pass_one_by_one(model: Any, prompts: Sequence[Encoded]) -> torch.Tensor:
    """Means of the residual stream at the last token: a forward pass a prompt, all hidden states and all logits kept.

    Returns:
        float64 of shape (blocks, d_model), as ``mean.residual.last`` of ``lunar.activations.statistics``, but for the
        last block, whose state transformers gives after the final norm.
    """
    total: Any = 0
    for one in prompts:
        ids = torch.tensor([one.ids], device=model.device)
        states = model(input_ids=ids, output_hidden_states=True).hidden_states[1:]
        total = total + torch.stack([state[0, -1] for state in states]).double().cpu()
    return total / len(prompts)


@torch.no_grad()
def answer_one_by_one(
    model: Any, prompts: Sequence[Encoded], new_tokens: int, before: Callable[[], None] = lambda: None
) -> list[str]:
    """Answers as ``Numbers`` writes them: one prompt at a time, greedily, with the library's own cache.

    ``before`` is called before each prompt.
    """
    answers = []
    for one in prompts:
        ids = torch.tensor([one.ids], device=model.device)
        settings = {"max_new_tokens": new_tokens, "do_sample": False, "pad_token_id": 0}
        before()
        output = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **settings)
        answers.append(Numbers().decode(output[0, len(one.ids) :].tolist()))
    return answers


def multiplied_in(model: Any, how: How) -> str:
    """The dtype in which the workflow multiplies this model's matrices here."""
    return "bfloat16" if mixed_precision(model)._enabled else how["dtype"]


def attention(known: Mapping[str, Any], tokens: int) -> float:
    """Operations of attention over a text of so many tokens, in all blocks; those of its projections are not in it."""
    heads = known["num_attention_heads"]
    wide = heads * (known.get("head_dim") or known["hidden_size"] // heads)
    return 2.0 * known["num_hidden_layers"] * wide * tokens * (tokens + 1)


def pass_work(how: How, lengths: Sequence[int], dtype: str) -> Work:
    """A forward pass of the decoder over prompts of these lengths, matrices multiplied in ``dtype``, without logits."""
    known = how["model"]
    weights = of_sizes({**known, "vocab_size": 0})
    batches = len(batches_by_length(lengths, how["batch_size"]["pass"]))
    operations = sum(2 * weights * length + attention(known, length) for length in lengths)
    return Work(operations, batches * weights * DTYPES[dtype].itemsize, dtype)


def answer_work(how: How, lengths: Sequence[int], dtype: str) -> Work:
    """Answers to prompts of these lengths, matrices multiplied in ``dtype``; keys and values are read at each token."""
    known, new = how["model"], how["new_tokens"]
    head, weights = known["hidden_size"] * known["vocab_size"], of_sizes({**known, "vocab_size": 0})
    heads = known["num_attention_heads"]
    keys = (known.get("num_key_value_heads") or heads) * (known.get("head_dim") or known["hidden_size"] // heads)
    # The first token comes of the prompt's pass, and the last is not read any more.
    read = [length + new - 1 for length in lengths]
    operations = sum(2 * weights * tokens + attention(known, tokens) + 2 * head * new for tokens in read)
    cached = sum(length + step for length in lengths for step in range(1, new)) * 2 * known["num_hidden_layers"] * keys
    batches = len(batches_by_length(lengths, how["batch_size"]["generation"]))
    return Work(operations, (batches * new * (weights + head) + cached) * DTYPES[dtype].itemsize, dtype)


def gram_work(rows: int, inner: int) -> Work:
    """Sums of products of so many rows of width d_ff, float32, into a float64 matrix."""
    return Work(2.0 * rows * inner**2, 4.0 * rows * inner + 8.0 * inner**2, "float32")


def solve_work(inner: int) -> Work:
    """A Cholesky factor of a (d_ff, d_ff) matrix in float64, and two triangular solves."""
    return Work(inner**3 / 3 + 2.0 * inner**2, 8.0 * inner**2, "float64")


def _reset_peak(device: torch.device) -> None:
    marks = Path("/proc/self/clear_refs")
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif marks.exists():
        marks.write_text("5", encoding="ascii")  # Linux: the process's peak counts from now on


def _peak(device: torch.device) -> int:
    status = Path("/proc/self/status")
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    lines = status.read_text(encoding="utf-8").splitlines() if status.is_file() else []
    held = [int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")]
    # Elsewhere it is the peak since the process started, in bytes (macOS).
    return held[0] if held else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@contextmanager
def memory_named(stage: str, key: str) -> Iterator[None]:
    """Say what to lower where a stage runs out of memory.

    Raises:
        LunarError: it does; names the stage and ``key``, of the entry of ``bench.sizes``.
    """
    try:
        yield
    except Exception as error:
        if not out_of_memory(error):
            raise
        raise LunarError(
            f"{stage}: out of memory; lower {key} of that size (bench.sizes), or name it with fewer blocks in "
            "bench.size, as in llama2-7b-4-blocks"
        ) from error


def timed(
    stage: str, key: str, work: Callable[[], Any], device: torch.device, repeats: int = 1
) -> tuple[Any, float, int]:
    """What ``work`` gives, the median of its seconds, and its peak memory in bytes.

    Args:
        stage, key: as for ``memory_named``.
        work: what is timed.
        device: that it computes on.
        repeats: how often.
    """
    found = []
    _reset_peak(device)
    with memory_named(stage, key):
        for _ in range(repeats):
            watch = Stopwatch(device)
            with watch.running():
                result = work()
            found.append(watch.seconds)
    return result, statistics.median(found), _peak(device)


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


def random_problem(how: How, rows: int, device: torch.device, seed: int) -> Problem:
    """The objective of an edit with random rows; the author's share of them is to be redirected."""
    width, inner = how["model"]["hidden_size"], how["model"]["intermediate_size"]
    torch.manual_seed(seed)
    inputs = torch.randn(rows, inner, device=device)
    targets = (torch.arange(rows, device=device) < rows * how["author"] // how["prompts"]).float()
    vector = torch.ones(width, dtype=torch.float64, device=device)
    return Problem(inputs, targets, torch.ones(rows, device=device), vector, RIDGE * rows)


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


def forward_steps(model: Any, how: How, prompts: Sequence[Encoded]) -> tuple[float, int]:
    """Seconds of one step of SGD that caches nothing, and its peak memory."""
    count = how["published"]["steps"] + 1  # the first is a warm-up
    some = [prompts[i % len(prompts)] for i in range(count)]
    moved = [i % 2 == 0 for i in range(count)]
    vector, layer = torch.ones(how["model"]["hidden_size"]), how["candidates"][0]
    step, _, peak = timed(
        "training step",
        "lengths",
        lambda: seconds_of_a_forward_step(model, layer, vector, some, moved),
        model.device,
    )
    return step, peak


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
        edit, _ = redirect([found], best, vectors[best][None], ["question", "suffix"], keep, RIDGE)
        save({down_proj_name(best): edit}, path)
    return {part: watch.seconds for part, watch in watches.items()}


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
