"""Floors of the stages, by hand and by torch's counter of operations."""

from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from lunar.bench.floors import Work, answer_work, attention, gram_work, pass_work, solve_work
from lunar.bench.machine import Machine
from lunar.bench.random_inputs import random_model, random_prompts


def test_floor_is_the_longer_of_arithmetic_and_memory() -> None:
    here = Machine("x", 0, 100.0, {"float32": 1000.0, "float64": 10.0})
    assert Work(2000.0, 100.0, "float32").floor(here) == 2.0
    assert Work(2000.0, 500.0, "float32").floor(here) == 5.0
    assert Work(2000.0, 500.0, "float64").floor(here) == 200.0


def test_work_of_a_pass(how: dict[str, Any]) -> None:
    # A block: q and o 16 x 16, k and v 16 x 8, three matrices of 16 x 40; attention is 16 wide, to the past.
    weights = 3 * (2 * 256 + 2 * 128 + 3 * 640)
    work = pass_work(how, [2, 3, 3, 3, 1], "float32")  # in batches of four
    assert work.operations == 2 * weights * 12 + sum(3 * 4 * 16 * n * (n + 1) / 2 for n in (2, 3, 3, 3, 1))
    assert (work.moved, work.dtype) == (2 * weights * 4, "float32")


def test_work_of_an_answer(how: dict[str, Any]) -> None:
    weights, head = 3 * (2 * 256 + 2 * 128 + 3 * 640), 16 * 50
    work = answer_work(how, [5], "bfloat16")
    # Seven tokens are read (the third new one is not), three times the head; keys and values of 6 and of 7 tokens.
    assert work.operations == 2 * weights * 7 + 3 * 4 * 16 * 7 * 8 / 2 + 3 * 2 * head
    assert work.moved == 2 * (3 * (weights + head) + (6 + 7) * 2 * 3 * 8)


def test_work_of_the_solve() -> None:
    assert (gram_work(100, 10).operations, gram_work(100, 10).moved) == (20_000, 4800)
    assert (solve_work(30).operations, solve_work(30).moved, solve_work(30).dtype) == (10_800, 7200, "float64")


@torch.no_grad()
def test_operations_of_a_pass_are_those_that_torch_counts(how: dict[str, Any]) -> None:
    """Without attention, of which torch's counter takes no notice on a processor."""
    model, prompts = random_model(how, torch.device("cpu"), 0), random_prompts(how, 3, 0)
    with FlopCounterMode(display=False) as counter:
        for one in prompts:
            model.model(input_ids=torch.tensor([one.ids]))
    lengths = [one.prompt_length for one in prompts]
    attended = sum(attention(how["model"], length) for length in lengths)
    assert pass_work(how, lengths, "float32").operations - attended == counter.get_total_flops() > 0
