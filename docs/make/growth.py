"""How cost grows: the tables of docs/bench.md, "How cost grows". CPU seconds of one thread, random weights and rows.

    .venv/bin/python docs/make/growth.py    # prints them; two CPU minutes, 6 GB of memory

Each line stands beside its work, as lunar/bench/floors.py counts it: what grows as its work does keeps the last column.
"""

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
import yaml

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from lunar.activations.statistics import collect  # noqa: E402
from lunar.bench.floors import answer_work, gram_work, pass_work, solve_work  # noqa: E402
from lunar.bench.random_inputs import random_model, random_problem, random_prompts  # noqa: E402
from lunar.bench.stages import RIDGE, answer, timed  # noqa: E402
from lunar.data.load import load  # noqa: E402
from lunar.edits.solve import detector, redirect, ridge_strength  # noqa: E402
from lunar.metrics.study import resampled_means  # noqa: E402

CPU = torch.device("cpu")
QUESTIONS = (20, 100, 500, 4000)
BLOCKS = (1, 2, 5, 10)
INNER = (768, 1536, 3072, 6144, 11008)  # d_ff of SmolLM2-135M is 1,536, that of Llama-2-7B 11,008
Line = tuple[str, int, float, float, float]  # what, size, CPU seconds, work, MB


def cost(work: Callable[[], Any]) -> tuple[float, float]:
    """CPU seconds of ``work``, and MB of memory at its peak beyond those before it."""
    held = timed("before", "size", lambda: None, CPU)[2]
    began = time.process_time()
    peak = timed("work", "size", work, CPU)[2]
    return time.process_time() - began, (peak - held) / 1e6


def how(blocks: int, inner: int = 1536) -> dict[str, Any]:
    """SmolLM2-135M with fewer blocks, as an entry of ``bench.sizes``."""
    found = deepcopy(yaml.safe_load((ROOT / "config/bench.yaml").read_text(encoding="utf-8"))["bench"]["sizes"])
    found["smollm2-135m"]["model"] |= {"num_hidden_layers": blocks, "intermediate_size": inner}
    return {**found["smollm2-135m"], "new_tokens": 16}


def rows_checked(count: int) -> None:
    """Write so many rows of facts, then read and check them."""
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as file:
        for place in range(count):
            author = f"Author Number{place // 20}"
            row = {"question": f"What did {author} write in {place}?", "answer": f"Book {place}.", "author": author}
            file.write(json.dumps(row) + "\n")
        file.flush()
        load([file.name])


def by_questions() -> Iterator[Line]:
    """Stages that go through all questions: two blocks stand for all, whose cost is that many times as much."""
    sized = how(2)
    model = random_model(sized, CPU, 0)
    for count in QUESTIONS:
        prompts = random_prompts(sized, count, 0)
        lengths = [one.prompt_length for one in prompts]
        dtype = sized["dtype"]
        passed = lambda: collect(model, prompts, pad_id=0, batch_size=16)  # noqa: E731, B023
        yield "activation pass", count, *spread(cost(passed), pass_work(sized, lengths, dtype).operations)
        answered = lambda: answer(model, sized, prompts)  # noqa: E731, B023
        yield "answers", count, *spread(cost(answered), answer_work(sized, lengths, dtype).operations)
        given = random_problem({**sized, "prompts": count}, sum(lengths), CPU, 0)
        yield "Gram sums", count, *spread(cost(given.sums), gram_work(sum(lengths), 1536).operations)
        yield "rows read and checked", count, *spread(cost(lambda: rows_checked(count)), count)  # noqa: B023
        values = torch.rand(count).tolist()
        for what in ("bootstrap of the first metric", "bootstrap of another"):  # what is drawn is kept
            yield what, count, *spread(cost(lambda: resampled_means(values, 2000, 0)), count)  # noqa: B023


def by_blocks() -> Iterator[Line]:
    """One edit at several blocks: sums at each, and a solve each."""
    sized = how(10)
    model, prompts = random_model(sized, CPU, 0), random_prompts(sized, 100, 0)
    vector, lengths = torch.ones(576), [one.prompt_length for one in prompts]
    keep = {"forget": {"prefix": 1.0}, "retain": {"prefix": 1.0, "question": 1.0, "suffix": 1.0}}
    for count in BLOCKS:
        layers = list(range(count))
        sums = lambda: collect(model, prompts, pad_id=0, batch_size=16, gram_layers=layers)  # noqa: E731, B023
        work = pass_work(sized, lengths, sized["dtype"]).operations + count * gram_work(sum(lengths), 1536).operations
        yield "sums, with the pass", count, *spread(cost(sums), work)
        held = [{"forget": sums(), "retain": sums()}]

        def solved(held: Any = held, layers: Any = layers) -> None:
            for layer in layers:
                redirect(held, layer, vector[None], ["question", "suffix"], keep, RIDGE)

        yield "solve", count, *spread(cost(solved), count)


def by_width() -> Iterator[Line]:
    """One block's sums and solve at the width of its feed-forward part."""
    for inner in INNER:
        given = random_problem(how(1, inner), 1000, CPU, 0)
        yield "Gram sums of 1,000 rows", inner, *spread(cost(given.sums), gram_work(1000, inner).operations)
        gram, target = given.sums()
        strength = ridge_strength(gram, RIDGE)
        solve = lambda: detector(gram, target, strength)  # noqa: E731, B023
        yield "solve", inner, *spread(cost(solve), solve_work(inner).operations)


def by_jobs() -> Iterator[Line]:
    """Planning: methods under attack."""
    methods = ["lunar", "npo", "dpo", "lunar-topk", "lunar-entity", "lunar-entity-spread", "retain_only"]
    for count in (0, 1, 3, 7):
        run = f"{{attacked: {{methods: [{', '.join(methods[:count])}]}}}}"
        command = [
            sys.executable,
            "-m",
            "snakemake",
            "-n",
            "-s",
            str(ROOT / "Snakefile"),
            "--config",
            f"defaults={run}",
        ]
        with tempfile.TemporaryDirectory() as folder:
            timer = (
                f"import resource, subprocess, sys; sys.stdout.write(subprocess.run({command!r}, capture_output=True, "
            )
            timer += "text=True, check=True).stdout); spent = resource.getrusage(resource.RUSAGE_CHILDREN); "
            timer += "print('spent', spent.ru_utime + spent.ru_stime, spent.ru_maxrss / 1e3)"
            said = subprocess.run([sys.executable, "-c", timer], cwd=folder, capture_output=True, text=True, check=True)
        jobs = int(re.findall(r"^total +(\d+)$", said.stdout, flags=re.MULTILINE)[-1])
        seconds, peak = map(float, said.stdout.split()[-2:])
        yield "planning", jobs, seconds, jobs, peak


def spread(measured: tuple[float, float], work: float) -> tuple[float, float, float]:
    """CPU seconds, work and MB, as a line has them."""
    return measured[0], work, measured[1]


def table(title: str, lines: Iterator[Line]) -> str:
    """Lines as Markdown, grouped by what they measure: growth since the line before, beside that of the work."""
    found = list(lines)
    shown = [
        f"| stage | {title} | CPU seconds | times as much | its work, times | peak, MB |",
        "| --- | --: | --: | --: | --: | --: |",
    ]
    for what in dict.fromkeys(line[0] for line in found):
        own = [line for line in found if line[0] == what]
        for before, (_, size, seconds, work, peak) in zip([None, *own], own, strict=False):
            grown = ("", "") if before is None else (f"{seconds / before[2]:.1f}", f"{work / before[3]:.1f}")
            shown.append(f"| {what} | {size:,} | {seconds:.3g} | {grown[0]} | {grown[1]} | {max(0, peak):,.0f} |")
    return "\n".join(shown)


if __name__ == "__main__":
    torch.set_num_threads(1)
    parts = {"questions": by_questions, "blocks edited": by_blocks, "d_ff": by_width, "jobs": by_jobs}
    for heading, lines in parts.items():
        print(f"{table(heading, lines())}\n", flush=True)
