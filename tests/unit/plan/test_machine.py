"""What the machine has, with a script in the place of nvidia-smi."""

import math
from pathlib import Path

import pytest

from lunar.plan.machine import amount, duration, installed_memory, largest_gpu


@pytest.fixture
def command(tmp_path: Path):
    """A function: the path of a shell script with the given lines."""

    def write(lines: str) -> str:
        path = tmp_path / "nvidia-smi"
        path.write_text(f"#!/bin/sh\n{lines}\n", encoding="utf-8")
        path.chmod(0o755)
        return str(path)

    return write


def test_the_largest_gpu(command, tmp_path: Path) -> None:
    assert largest_gpu(command("echo 24564; echo 8192")) == 24564 * 2**20
    assert largest_gpu(str(tmp_path / "absent")) == 0


def test_amounts() -> None:
    assert (amount(2.34e9), amount(5e7)) == ("2.3 GB", "50.0 MB")
    assert installed_memory() > 2**28


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(4.25, "4.2 s"), (59.96, "1 min 0 s"), (200, "3 min 20 s"), (3599.7, "1 h 0 min"), (math.nan, "not measured")],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text
