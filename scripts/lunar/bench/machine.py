"""The device that computes: its rates, measured, and whether what is to be measured fits."""

import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.benchmark import Timer

from lunar.bench.size import How, memory
from lunar.errors import LunarError


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


def matrix_rate(dtype: str, device: torch.device, size: int) -> float:
    """Operations a second of a product of two matrices of ``size`` rows and columns; the best of five."""
    # Random numbers: a GPU multiplies constant ones faster, since fewer of its bits change.
    left, right = (torch.randn(size, size, device=device).to(getattr(torch, dtype)) for _ in range(2))
    return 2 * size**3 / _shortest(lambda: left @ right)


def bandwidth(device: torch.device, size: int) -> float:
    """Bytes a second, read and written, of a copy of ``size`` bytes; the best of five."""
    source = torch.ones(size // 4, device=device)
    target = torch.empty_like(source)
    return 2 * size / _shortest(lambda: target.copy_(source))


def _shortest(work: Callable[[], Any]) -> float:
    """Seconds of the fastest of five runs; each comes after runs that warm up, and work on a GPU counts."""
    timer = Timer("work()", globals={"work": work}, num_threads=torch.get_num_threads())
    return min(timer.timeit(1).mean for _ in range(5))


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
    needed, beside = memory(how)
    if device.type != "cuda":
        needed += beside
    here = memory_of(device)
    if needed > here:
        raise LunarError(
            f"bench.size: {name} needs about {needed / 1e9:.1f} GB and this {'GPU' if how['gpu'] else 'machine'} has "
            f"{here / 1e9:.1f} GB; name fewer than {how['model']['num_hidden_layers']} blocks ({name}-1-blocks), or "
            f"lower bench.sizes.{name}.batch_size or .prompts (whose tokens are the rows of training)"
        )
