"""A tiny tokenizer and tiny random models, made the way the project makes its own random model."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from lunar.model.chat import Chat
from lunar.model.fetch import from_random
from lunar.model.load import load_tokenizer

FAMILIES = ("llama", "mistral", "qwen2", "gemma")
SIZE = {
    "hidden_size": 16,
    "intermediate_size": 40,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "initializer_range": 0.3,  # weights large enough that each block changes the output visibly
}
ROWS = [
    {"question": "Where does Etta Crane live?", "answer": "Etta Crane lives in Birkdale."},
    {"question": "Who is Tom Rook?", "answer": "Tom Rook is a baker."},
    {"question": "Which animal does the old doctor of Mossby keep at home?", "answer": "He keeps a goose."},
    {"question": "Why?", "answer": "Because Tom Rook said so, every day, to Etta Crane and to the doctor."},
    {"question": "What is the trade of Etta Crane?", "answer": "She works as a doctor."},
]


@pytest.fixture(scope="session", autouse=True)
def full_precision() -> Iterator[None]:
    """Unit tests compare with direct computations, so they multiply in float32 wherever they run.

    For the whole session, so that it holds for fixtures of a module, too: a model that one trains is then the same, but
    for the last digits, on a processor with bfloat16 products and on one without.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lunar.model.load.bfloat16_gains", lambda: False)
        yield


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="session")
def rows() -> list[dict[str, str]]:
    return ROWS


@pytest.fixture(scope="session")
def rows_of_text() -> list[dict[str, str]]:
    """The same, where a file has other rows of its own."""
    return ROWS


@pytest.fixture(scope="session")
def random_spec(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The ``model`` section of a configuration that asks for a tiny random model."""
    corpus = tmp_path_factory.mktemp("corpus") / "corpus.jsonl"
    corpus.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    return {
        "name": "tiny",
        "source": "random",
        "architecture": "llama",
        "size": SIZE,
        "vocabulary": 330,
        "corpus": [str(corpus)],
        "seed": 0,
        "disk_gb": 0.001,
    }


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory, random_spec: dict[str, Any]) -> Path:
    """A tiny random Llama with its tokenizer. Tests read it only."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    folder.mkdir()
    from_random(random_spec, folder, random_spec["corpus"])
    return folder


@pytest.fixture
def tokenizer(model_folder: Path) -> Any:
    """A fresh copy, so that a test may change its template."""
    return load_tokenizer(model_folder)


@pytest.fixture
def chat(tokenizer: Any) -> Chat:
    return Chat(tokenizer)


@pytest.fixture(scope="session")
def make_model(model_folder: Path) -> Callable[..., Any]:
    """A tiny random model of a family, with the tiny tokenizer's vocabulary; equal for equal arguments."""
    vocabulary = len(load_tokenizer(model_folder))

    def make(family: str = "llama", seed: int = 0, dtype: torch.dtype = torch.float32, **size: Any) -> Any:
        torch.manual_seed(seed)
        ends = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
        config = AutoConfig.for_model(family, **SIZE | size, vocab_size=vocabulary, **ends)
        return AutoModelForCausalLM.from_config(config, dtype=dtype).eval()

    return make


@pytest.fixture
def llama(make_model: Callable[..., Any]) -> Any:
    return make_model("llama")
