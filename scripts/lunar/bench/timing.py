"""Time and peak memory of one stage, and what to lower if memory runs out.

``torch.utils.benchmark`` serves only the machine's rates. Its timer runs the work three times for one timing, and a
stage may take minutes. It also gives neither the work's result nor its memory.
"""

import resource
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from lunar.edits.descent import Stopwatch
from lunar.errors import LunarError, out_of_memory


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
