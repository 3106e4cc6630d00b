"""What is said where a stage runs out of memory, and what its timing gives."""

import time

import pytest
import torch

from lunar.bench.timing import memory_named, timed
from lunar.errors import LunarError


def test_running_out_of_memory_says_what_to_lower() -> None:
    with pytest.raises(LunarError, match=r"answers: out of memory; lower batch_size.*bench\.size"):
        with memory_named("answers", "batch_size.generation"):
            raise torch.OutOfMemoryError("CUDA out of memory")
    with pytest.raises(ValueError, match="other"), memory_named("answers", "prompts"):
        raise ValueError("other")


def test_a_timing_is_the_median_and_gives_the_result() -> None:
    naps = iter([0.0, 0.5, 0.02])
    result, seconds, peak = timed("x", "prompts", lambda: time.sleep(next(naps)) or 7, torch.device("cpu"), 3)
    assert result == 7 and 0.02 <= seconds < 0.5 and peak > 10**7
