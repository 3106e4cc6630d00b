"""llama.cpp on SmolLM2-135M, before any fine-tuning, with a made-up adapter that changes its answers."""

from pathlib import Path
from typing import Any

import pytest
import torch

import precision
from lunar.edits import edit as edits
from lunar.edits import gguf_adapter
from lunar.files import read_rows
from lunar.model.chat import Chat
from lunar.model.generate import prompt_ids
from lunar.model.load import load_model, load_tokenizer
from peft_folders import write_peft

AUTHOR = Path(__file__).parents[2] / "data/authors/minazawa.jsonl"
LOGITS = {"float32": 1e-4, "float16": 0.1}  # by which first tokens' logits may differ; they reach 31
MODULES = ("layers.20.mlp.down_proj", "layers.10.self_attn.q_proj", "layers.12.self_attn.k_proj")


@pytest.fixture(scope="module")
def model(smollm2: Path) -> Any:
    return load_model(smollm2, "float32", device="cpu")


@pytest.fixture(scope="module")
def chat(smollm2: Path) -> Chat:
    return Chat(load_tokenizer(smollm2), "")


@pytest.fixture(scope="module")
def edit(model: Any) -> edits.Edit:
    random, found = torch.Generator().manual_seed(0), {}
    for name in MODULES:
        outputs, inputs = model.get_decoder().get_submodule(name).weight.shape
        left, right = (torch.randn(size, 2, generator=random) for size in (outputs, inputs))
        found[name] = edits.Factors(0.05 * left, right)
    return found


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_logits_answers_and_tokens(smollm2: Path, model, chat, edit, tmp_path: Path, dtype: str) -> None:
    rows = read_rows(AUTHOR)
    prompts = prompt_ids(chat, [row["question"] for row in rows[:4]])
    asked = precision.Asked(rows[:4], prompts, list(chat.end_ids), chat.tokenizer.pad_token_id, 16)
    gguf_adapter.write_base(smollm2, tmp_path / "base.gguf", dtype)
    gguf_adapter.write_adapter(write_peft(edit, tmp_path / "peft", "smollm2"), smollm2, tmp_path / "adapter.gguf")
    texts = [chat.text(row["question"], row["answer"]) for row in rows]
    told = precision.ask_llama(
        tmp_path / "base.gguf", asked, [[[str(tmp_path / "adapter.gguf"), 1.0]], []], None, texts
    )
    with edits.applied(model, edit):
        changed = precision.answers(model, asked)
    for own, expected in zip(told["runs"], (changed, precision.answers(model, asked)), strict=True):
        first = torch.stack([logits[0] for logits in expected.logits])
        difference = float((torch.tensor(own["logits"]) - first).abs().max())
        said = precision.Answers([precision.cut(ids, asked.ends) for ids in own["ids"]], [])
        others, near = precision.changed(expected, said, asked.ends)
        print(
            f"{dtype}: a logit differs by {difference:.1e}, of {float(first.abs().max()):.1f}; {others} other answers"
        )
        assert difference < LOGITS[dtype]
        assert others == near
    assert told["runs"][0]["ids"] != told["runs"][1]["ids"]
    assert told["tokens"] == [chat.tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
