"""Jobs side by side get a GPU each; the locks are real, the GPUs are not."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from lunar.model import devices

SCRIPTS = Path(__file__).parents[3] / "scripts"
# Another job: takes its GPU out of as many as it is told, says which, and holds it until its input ends.
JOB = """
import sys, tempfile, torch
from types import SimpleNamespace
from lunar.model import devices
tempfile.tempdir = sys.argv[1]
torch.cuda.is_available = lambda: True
torch.cuda.device_count = lambda: int(sys.argv[2])
torch.cuda.get_device_properties = lambda index: SimpleNamespace(uuid=f"GPU-{index}")
torch.cuda.set_device = lambda index: None
print(devices.own_device(), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Have the library see so many GPUs, with locks in a folder of their own."""

    def see(number: int) -> None:
        monkeypatch.setattr(devices, "_held", {})
        monkeypatch.setattr(devices.tempfile, "tempdir", str(tmp_path))
        monkeypatch.setattr(torch.cuda, "is_available", lambda: number > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: number)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid=f"GPU-{index}"))
        monkeypatch.setattr(torch.cuda, "set_device", lambda index: None)

    return see


def test_without_a_gpu_it_is_the_processor(gpus, tmp_path: Path) -> None:
    gpus(0)
    assert devices.own_device() == torch.device("cpu")
    assert not list(tmp_path.iterdir())


def test_jobs_side_by_side_do_not_share_and_a_killed_one_gives_back(gpus, tmp_path: Path, monkeypatch, caplog) -> None:
    other = subprocess.Popen(
        [sys.executable, "-c", JOB, str(tmp_path), "2"],
        cwd=SCRIPTS,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert other.stdout.readline().strip() == "cuda:0"
        gpus(2)
        assert devices.own_device() == torch.device("cuda", 1)
        assert devices.own_device() == torch.device("cuda", 1)  # and keeps it
        gpus(1)  # a job that sees the taken one only
        waited: list[float] = []

        def sleep(seconds: float) -> None:
            waited.append(seconds)
            if len(waited) == 2:
                other.kill()
                other.wait()

        monkeypatch.setattr(devices.time, "sleep", sleep)
        assert devices.own_device(wait=0.5) == torch.device("cuda", 0)
        assert waited == [0.5, 0.5]
        assert [record.getMessage() for record in caplog.records] == [
            "every GPU is taken by another job; waiting for one"
        ]
    finally:
        other.kill()
        other.communicate()
