"""What the machine has, with a script in the place of nvidia-smi."""

from pathlib import Path

import pytest

from lunar.plan.machine import amount, installed_memory, largest_gpu


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
