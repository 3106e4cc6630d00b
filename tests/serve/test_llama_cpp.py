"""llama.cpp, a second implementation, answers with an adapter as the workflow does, and without it as the base."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import precision
from lunar.edits import edit as edits
from lunar.edits import gguf_adapter
from lunar.edits.edit import scaled
from lunar.files import read_rows
from lunar.model.chat import Chat
from lunar.model.generate import prompt_ids
from lunar.model.load import load_model, load_tokenizer
from peft_folders import write_peft

LOGITS = 1e-4  # by which first tokens' logits may differ; those of the toy reach 13
LIMIT = 24


@pytest.fixture(scope="module")
def chat(exported: Path) -> Chat:
    return Chat(load_tokenizer(exported / "models/full"))


@pytest.fixture(scope="module")
def asked(exported: Path, chat: Chat) -> precision.Asked:
    """The questions of the forget and the retain set."""
    rows = [row for split in ("forget", "retain") for row in read_rows(exported / f"data/{split}.jsonl")]
    prompts = prompt_ids(chat, [row["question"] for row in rows])
    return precision.Asked(rows, prompts, list(chat.end_ids), chat.tokenizer.pad_token_id, LIMIT)


@pytest.fixture(scope="module")
def model(exported: Path) -> Any:
    return load_model(exported / "models/full", "float32", device="cpu")


def edit_of(exported: Path, name: str) -> edits.Edit:
    return edits.load(exported / f"edits/{name}.safetensors")


def adapter(exported: Path, name: str, scale: float = 1.0) -> list[Any]:
    return [str(exported / f"export/{name}/adapter.gguf"), scale]


@contextmanager
def changed_by(model: Any, *changes: edits.Edit) -> Iterator[Any]:
    with edits.applied(model, edits.compose(changes)):
        yield model


def agree(own: dict[str, Any], expected: precision.Answers, ends: list[int]) -> None:
    """Logits of first tokens are equal, and answers too but for near ties."""
    first = torch.stack([logits[0] for logits in expected.logits])
    difference = float((torch.tensor(own["logits"]) - first).abs().max())
    said = precision.Answers([precision.cut(ids, ends) for ids in own["ids"]], [])
    others, near = precision.changed(expected, said, ends)
    print(f"a logit of {float(first.abs().max()):.1f} differs by {difference:.1e}; {others} other answers")
    assert difference < LOGITS
    assert others == near
    assert others <= len(said.ids) // 20


@pytest.mark.parametrize("scale", [0.0, 0.5, 1.0])
def test_answers_at_a_scale(exported: Path, asked, model, scale: float) -> None:
    edit = {name: scaled(change, torch.tensor(scale)) for name, change in edit_of(exported, "lunar").items()}
    told = precision.ask_llama(exported / "export/full.float32.gguf", asked, [[adapter(exported, "lunar", scale)]])
    with changed_by(model, edit):
        agree(told["runs"][0], precision.answers(model, asked), asked.ends)


def test_answers_of_the_workflow(exported: Path, asked, chat: Chat) -> None:
    """Its matrix products may be in bfloat16, so one answer in ten may differ."""
    runs = {"vanilla": [], "lunar": [adapter(exported, "lunar")]}
    told = precision.ask_llama(exported / "export/full.float32.gguf", asked, [*runs.values()])
    for name, run in zip(runs, told["runs"], strict=True):
        answered = exported / f"generations/{name}/none"
        rows = [row for split in ("forget", "retain") for row in read_rows(answered / f"{split}.jsonl")]
        said = [str(chat.decode(precision.cut(ids, asked.ends))) for ids in run["ids"]]
        same = sum(row["prediction"] == one for row, one in zip(rows, said, strict=True))
        print(f"{name}: {same} of {len(rows)} answers are the workflow's")
        assert same >= 0.9 * len(rows), name
    assert told["runs"][0]["ids"] != told["runs"][1]["ids"]


def test_two_adapters_are_the_sum_of_both_and_one_can_be_taken_away(exported: Path, asked, model) -> None:
    names = ["lunar", "lunar-lora"]
    both = [adapter(exported, name) for name in names]
    told = precision.ask_llama(exported / "export/full.float32.gguf", asked, [both, both[1:], []])
    wholes = [[edit_of(exported, name) for name in names], [edit_of(exported, names[1])], []]
    for own, changes in zip(told["runs"], wholes, strict=True):
        with changed_by(model, *changes):
            agree(own, precision.answers(model, asked), asked.ends)


def test_rows_of_queries_and_keys_are_in_the_order_of_llama_cpp(exported: Path, asked, model, tmp_path: Path) -> None:
    """LUNAR edits neither; adapters of other methods do."""
    random, edit = torch.Generator().manual_seed(0), {}
    for name in ("layers.1.self_attn.q_proj", "layers.2.self_attn.k_proj"):
        outputs, inputs = model.get_decoder().get_submodule(name).weight.shape
        left, right = (torch.randn(size, 2, generator=random) for size in (outputs, inputs))
        edit[name] = edits.Factors(0.3 * left, 0.3 * right)
    peft = write_peft(edit, tmp_path / "adapter", "toy")
    gguf_adapter.write_adapter(peft, exported / "models/full", tmp_path / "adapter.gguf")
    runs = [[[str(tmp_path / "adapter.gguf"), 1.0]], []]
    told = precision.ask_llama(exported / "export/full.float32.gguf", asked, runs)
    with changed_by(model, edit):
        agree(told["runs"][0], precision.answers(model, asked), asked.ends)
    assert np.abs(np.subtract(told["runs"][0]["logits"], told["runs"][1]["logits"])).max() > 0.1


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_K_M"])
def test_a_base_in_fewer_bits_takes_the_adapter(exported: Path, asked, kind: str) -> None:
    runs = [[adapter(exported, "lunar")], []]
    whole, fewer = (
        precision.ask_llama(exported / "export/full.float32.gguf", asked, runs, quantise) for quantise in (None, kind)
    )
    assert fewer["size"] < 0.7 * whole["size"]
    moved = [np.subtract(told["runs"][0]["logits"], told["runs"][1]["logits"]) for told in (whole, fewer)]
    # What the adapter does to logits is the same in direction.
    assert np.sum(moved[0] * moved[1]) > 0.8 * np.linalg.norm(moved[0]) * np.linalg.norm(moved[1])


def test_an_adapter_of_another_shape_is_refused(exported: Path, asked, tmp_path: Path) -> None:
    edit = {"layers.1.mlp.down_proj": edits.Factors(torch.ones(8, 1), torch.ones(8, 1))}
    peft = write_peft(edit, tmp_path / "adapter", "another")
    gguf_adapter.write_adapter(peft, exported / "models/full", tmp_path / "adapter.gguf")
    with pytest.raises(SystemExit, match=r"cannot load the adapter .* on this base"):
        precision.ask_llama(exported / "export/full.float32.gguf", asked, [[[str(tmp_path / "adapter.gguf"), 1.0]]])
