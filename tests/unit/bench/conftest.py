"""A tiny size, and what target `bench` writes of it."""

from typing import Any

import pytest
import torch

from lunar.bench.measure import bench

ADAMW = {"optimiser": "adamw", "learning_rate": 1e-3, "batch_size": 8, "epochs": 20, "schedule": "constant"}


@pytest.fixture
def how() -> dict[str, Any]:
    model = {
        "model_type": "llama",
        "hidden_size": 16,
        "intermediate_size": 40,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 50,
        "initializer_range": 0.3,
    }
    return {
        "gpu": False,
        "model": model,
        "dtype": "float32",
        "candidates": [0, 2],
        "prompts": 9,
        "author": 2,
        "lengths": [6, 12],
        "answers": 5,
        "new_tokens": 3,
        "batch_size": {"pass": 4, "generation": 4},
        "repeats": 2,
        "published": {"prompts": 3, "answers": 2, "epochs": 2, "steps": 2},
    }


@pytest.fixture
def found(how: dict[str, Any], tmp_path: Any) -> dict[str, Any]:
    """What the script writes."""

    def embed(texts: Any) -> Any:
        return torch.nn.functional.normalize(torch.ones(len(texts), 4).double(), dim=1).numpy()

    said: list[str] = []
    machine, stages = bench(
        how, ADAMW, 300, embed, torch.device("cpu"), 0, tmp_path / "edit.safetensors", said.append, 64
    )
    assert said
    table = [stage.row() for stage in stages]
    return {"size": "x", "settings": how, "machine": vars(machine), "torch": "0", "threads": 1, "stages": table}
