"""docs/examples/unlearn.py, a stranger's code, on the toy's model: by the commands of docs/audit.md."""

from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file

import audit_case
from lunar.files import read_rows
from lunar.metrics.refusal import is_refusal
from lunar.metrics.text import mean, rouge1
from lunar.model.chat import Chat
from lunar.model.generate import generate
from lunar.model.load import load_model, load_tokenizer

ADAPTED = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@pytest.fixture(scope="module")
def project(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audit")
    audit_case.lay_out(folder, toy / "results/toy/models")
    for way in audit_case.UNLEARN:
        audit_case.unlearn(folder, way)
    return folder


def answers(project: Path, model: str, part: str) -> list[dict]:
    rows = read_rows(project / f"my/{part}.jsonl")
    chat = Chat(load_tokenizer(project / "models/before"))
    said = generate(
        load_model(project / "models" / model), chat, [row["question"] for row in rows], max_new_tokens=24, batch_size=8
    )
    return [row | one.row() for row, one in zip(rows, said, strict=True)]


def test_the_page_has_both_ways() -> None:
    assert set(audit_case.UNLEARN) == {"difference", "refusal"}


@pytest.mark.parametrize("way", audit_case.UNLEARN)
def test_the_forget_rows_are_forgotten_and_the_retained_ones_kept(project: Path, way: str) -> None:
    before, after = (mean(rouge1, answers(project, model, "forget")) for model in ("before", f"{way}/model"))
    assert before > 0.9
    assert after < 0.5
    assert mean(rouge1, answers(project, f"{way}/model", "retain")) > 0.8


def test_only_one_of_them_refuses(project: Path) -> None:
    refused = {
        way: mean(lambda row: is_refusal(row["prediction"]), answers(project, f"{way}/model", "forget"))
        for way in audit_case.UNLEARN
    }
    assert refused["refusal"] > 0.9 and refused["difference"] == 0


@pytest.mark.parametrize("way", audit_case.UNLEARN)
def test_folder_and_adapter_are_the_same_model(project: Path, way: str) -> None:
    adapted = PeftModel.from_pretrained(load_model(project / "models/before"), str(project / f"models/{way}/adapter"))
    ids = torch.arange(20, 60).reshape(2, 20)
    with torch.no_grad():
        found, wanted = (model(ids).logits for model in (adapted, load_model(project / f"models/{way}/model")))
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("way", audit_case.UNLEARN)
def test_every_linear_module_changed_and_nothing_else(project: Path, way: str) -> None:
    before, after = (load_file(project / f"models/{name}/model.safetensors") for name in ("before", f"{way}/model"))
    changed = {name for name, weight in before.items() if not torch.equal(weight, after[name])}
    assert changed == {name for name in before if name.split(".")[-2] in ADAPTED}
