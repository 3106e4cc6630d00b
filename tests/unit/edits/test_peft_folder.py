"""PEFT folders: what they hold, that PEFT alone gives the edited model with them, several together, and wrong bases."""

import json
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftConfig, PeftModel
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from lunar.edits import answer_ids, load_adapter, peft_folder
from lunar.edits import edit as edits
from lunar.edits.edit import Edit, Factors, compose
from lunar.edits.low_rank import completed, low_rank
from lunar.errors import LunarError
from lunar.model.chat import Chat
from lunar.model.generate import generate, prompt_ids
from lunar.model.load import load_model, load_tokenizer, save_model

DOWN, UP, QUERY = "layers.1.mlp.down_proj", "layers.1.mlp.up_proj", "layers.2.self_attn.q_proj"


def factors(outputs: int, inputs: int, rank: int, seed: int) -> Factors:
    random = torch.Generator().manual_seed(seed)
    return Factors(torch.randn(outputs, rank, generator=random), 0.2 * torch.randn(inputs, rank, generator=random))


ONE: Edit = {DOWN: factors(16, 40, 1, 0)}
OTHER: Edit = {DOWN: factors(16, 40, 2, 1), QUERY: factors(16, 16, 3, 2)}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, model_folder: Path, make_model: Callable[..., Any]) -> Path:
    folder = tmp_path_factory.mktemp("base") / "model"
    save_model(make_model(seed=4), load_tokenizer(model_folder), folder)
    return folder


def written(edit: Edit, base: Path, folder: Path) -> Path:
    folder.mkdir()
    model = load_model(base)
    peft_folder.write(completed(low_rank(edit), model), model, str(base), folder)
    return folder


@pytest.fixture
def how(chat: Chat, rows: list[dict[str, str]]) -> dict[str, Any]:
    prompts = prompt_ids(chat, [row["question"] for row in rows])
    return {"prompts": prompts, "ends": chat.end_ids, "pad": chat.tokenizer.pad_token_id, "max_new_tokens": 6}


def edited(base: Path, edit: Edit, how: dict[str, Any]) -> peft_folder.Answers:
    model = load_model(base)
    edits.apply(model, edit)
    return answer_ids.answers(model, **how)


def test_configuration_is_what_servers_read(base: Path, tmp_path: Path) -> None:
    folder = written(OTHER, base, tmp_path / "adapter")
    told = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    assert (told["r"], told["lora_alpha"], type(told["lora_alpha"])) == (3, 3, int)
    assert told["target_modules"] == ["down_proj", "q_proj"]
    assert told["layers_to_transform"] == [1, 2]
    assert told["base_model_name_or_path"] == str(base)
    assert PeftConfig.from_pretrained(folder).r == 3
    tensors = load_file(folder / "adapter_model.safetensors")
    place = "base_model.model.model.layers.1.mlp.down_proj"
    assert tensors[f"{place}.lora_A.weight"].shape == (3, 40)
    assert tensors[f"{place}.lora_B.weight"].shape == (16, 3)
    assert {tensor.shape[0 if "lora_A" in name else 1] for name, tensor in tensors.items()} == {3}
    with safe_open(folder / "adapter_model.safetensors", "pt") as file:
        assert json.loads(file.metadata()["base_sha256"]) == load_adapter.hashes(base)
    assert len({file.stat().st_mode for file in folder.iterdir()}) == 1


def test_peft_loads_every_tensor_and_gives_the_edited_logits(base: Path, tmp_path: Path, how) -> None:
    folder = written(OTHER, base, tmp_path / "adapter")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # PEFT warns of keys that are missing
        model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folder).eval()
    ids = torch.tensor([how["prompts"][0]])
    expected = load_model(base)
    before = expected(ids).logits
    edits.apply(expected, OTHER)
    with torch.inference_mode():
        found = model(ids).logits
        assert (found - expected(ids).logits).abs().max() < peft_folder.TOLERANCE
        assert (found - before).abs().max() > 0.1
        with model.disable_adapter():
            assert torch.equal(model(ids).logits, before)


def test_a_process_with_peft_alone_gives_the_edited_answers(base: Path, tmp_path: Path, how) -> None:
    folder = written(OTHER, base, tmp_path / "adapter")
    found = peft_folder.proven(OTHER, base, folder, 1, **how)
    assert found["difference"] < peft_folder.TOLERANCE
    assert (found["differs"], found["float32"]) == ([], None)
    assert found["logit"] > 1
    assert not (folder / "__pycache__").exists()


def test_an_adapter_of_another_edit_is_refused(base: Path, tmp_path: Path, how, monkeypatch) -> None:
    model = load_adapter.load(base, [written(ONE, base, tmp_path / "adapter")])
    found = answer_ids.compare(answer_ids.answers(model, **how), edited(base, OTHER, how), how["ends"])
    assert found["difference"] > 0.1
    monkeypatch.setattr(peft_folder, "compared", lambda *_, **__: found)
    with pytest.raises(LunarError, match=r"a logit differs by .* from the edited model's.*Nothing was exported"):
        peft_folder.proven(OTHER, base, tmp_path / "adapter", 1, **how)


def test_where_float32_rounds_too_much_float64_decides(base: Path, tmp_path: Path, how, monkeypatch) -> None:
    folder, seen = written(OTHER, base, tmp_path / "adapter"), []

    def in_this_process(base: Path, adapters: Any, expected: Any, device: str, dtype: str, *_: int, **how: Any) -> Any:
        seen.append(dtype)
        given = answer_ids.answers(load_adapter.load(base, adapters, dtype=getattr(torch, dtype)), **how)
        return answer_ids.compare(given, expected, how["ends"])

    monkeypatch.setattr(peft_folder, "compared", in_this_process)
    monkeypatch.setattr(peft_folder, "TOLERANCE", 1e-9)  # below what float32 keeps
    with pytest.raises(LunarError, match="a logit differs by"):
        peft_folder.proven(OTHER, base, folder, 1, **how)
    assert seen == ["float32", "float64"]


def test_two_adapters_together_are_the_edit_of_both(base: Path, tmp_path: Path, how) -> None:
    folders = [written(ONE, base, tmp_path / "one"), written(OTHER, base, tmp_path / "other")]
    given = answer_ids.answers(load_adapter.load(base, folders), **how)
    found = answer_ids.compare(given, edited(base, compose([ONE, OTHER]), how), how["ends"])
    assert found["difference"] < peft_folder.TOLERANCE
    assert found["differs"] == []


def test_taking_an_adapter_away_undoes_it(base: Path, tmp_path: Path, how) -> None:
    folders = [written(ONE, base, tmp_path / "one"), written(OTHER, base, tmp_path / "other")]
    alone = load_adapter.load(base, folders[:1])
    ids = torch.tensor([how["prompts"][0]])
    with torch.inference_mode():
        expected = alone(ids).logits
        model = load_adapter.load(base, folders)
        together = model(ids).logits
        model.delete_adapter("1")
        assert torch.equal(model(ids).logits, expected)
        assert (together - expected).abs().max() > 0.01


def test_adapters_joined_are_one_that_a_server_loads(base: Path, tmp_path: Path, how) -> None:
    folders = [written(ONE, base, tmp_path / "one"), written(OTHER, base, tmp_path / "other")]
    joined = tmp_path / "joined"
    load_adapter.join(folders, joined)
    told = json.loads((joined / "adapter_config.json").read_text(encoding="utf-8"))
    assert (told["r"], told["lora_alpha"], told["layers_to_transform"]) == (4, 4, [1, 2])
    ranks = {
        tensor.shape[0] for name, tensor in load_file(joined / "adapter_model.safetensors").items() if "_A" in name
    }
    assert ranks == {4}
    found = answer_ids.answers(load_adapter.load(base, [joined]), **how)
    found = answer_ids.compare(found, edited(base, compose([ONE, OTHER]), how), how["ends"])
    assert found["difference"] < peft_folder.TOLERANCE
    assert sorted(file.name for file in joined.iterdir()) == sorted(file.name for file in folders[0].iterdir())
    with pytest.raises(FileExistsError):
        load_adapter.join(folders, joined)
    (folders[1] / "base.sha256").write_text("0  model.safetensors\n", encoding="utf-8")
    with pytest.raises(load_adapter.WrongBase, match="other: made for another base than"):
        load_adapter.join(folders, tmp_path / "another")


def test_a_wrong_base_is_refused_by_loader_and_command(base: Path, tmp_path: Path, make_model, tokenizer) -> None:
    folder = written(ONE, base, tmp_path / "adapter")
    wrong = tmp_path / "wrong"
    save_model(make_model(seed=5), tokenizer, wrong)
    load_adapter.check(base, folder)
    with pytest.raises(
        load_adapter.WrongBase, match=r"wrong: not the model that the adapter .* sha256 of model.safetensors"
    ):
        load_adapter.load(wrong, [folder])
    with pytest.raises(load_adapter.WrongBase, match=r"is not there, but base.sha256 says"):
        load_adapter.check(tmp_path, folder)
    for model, code, words in ((base, 0, "the model that this adapter was made for"), (wrong, 1, "not the model")):
        command = [sys.executable, "-IB", str(folder / "load.py"), str(model)]
        outcome = subprocess.run(command, capture_output=True, text=True, check=False)
        assert outcome.returncode == code
        assert words in outcome.stdout + outcome.stderr
        assert "Traceback" not in outcome.stderr


def test_hashes_are_in_the_form_of_sha256sum(base: Path, tmp_path: Path) -> None:
    folder = written(ONE, base, tmp_path / "adapter")
    command = ["sha256sum", "--check", str(folder / "base.sha256")]
    assert subprocess.run(command, cwd=base, capture_output=True, check=False).returncode == 0


def test_a_base_without_safetensors_is_refused(tmp_path: Path, llama) -> None:
    with pytest.raises(LunarError, match=r"has no \*\.safetensors"):
        peft_folder.write(completed(low_rank(ONE), llama), llama, str(tmp_path / "nothing"), tmp_path)


def test_an_adapter_that_cannot_be_loaded_ends_in_one_line(base: Path, tmp_path: Path, how) -> None:
    answers = torch.zeros(1, 1, dtype=torch.long), torch.zeros(1, 1, 1)
    with pytest.raises(
        LunarError, match=r"^export: PEFT alone cannot use the adapter: FileNotFoundError: .*load\.py'$"
    ):
        peft_folder.compared(base, [tmp_path], answers, "cpu", "float32", 1, **how)


def test_answers_are_compared_up_to_the_first_other_token() -> None:
    logits = torch.zeros(1, 4, 3)
    other = logits.clone()
    other[0, 2] = 5  # after the first other token, so of no account
    ids = torch.tensor([[0, 1, 2, 0]])
    found = answer_ids.compare((torch.tensor([[0, 2, 2, 0]]), other), (ids, logits), ends=[2])
    assert (found["differs"], found["difference"]) == ([0], 0)
    # What follows the end of an answer is of no account either.
    other = logits.clone()
    other[0, 3] = 5
    found = answer_ids.compare((torch.tensor([[0, 1, 2, 1]]), other), (ids, logits), ends=[2])
    assert (found["differs"], found["difference"]) == ([], 0)
    other[0, 1] = 5
    assert answer_ids.compare((ids, other), (ids, logits), ends=[2])["difference"] == 5


def test_truncation_is_told(chat: Chat, rows: list[dict[str, str]], llama) -> None:
    whole: Edit = {DOWN: factors(16, 40, 4, 3)}
    edit = low_rank(whole, rank=1)
    sets = {"forget": rows[:2], "retain": rows[2:4]}
    generation = {"max_new_tokens": 6, "batch_size": 8}
    said = {}
    for way, changes in (("whole", whole), ("truncated", edit.modules)):
        with edits.applied(llama, changes):
            said[way] = generate(llama, chat, [row["question"] for row in rows[:4]], **generation)
    before = llama.get_decoder().get_submodule(DOWN).weight.clone()
    found = peft_folder.truncation(edit, whole, llama, chat, sets, generation, lambda row: len(row["prediction"]))
    assert torch.equal(llama.get_decoder().get_submodule(DOWN).weight, before)
    assert found["changed"] == sum(one != other for one, other in zip(*said.values(), strict=True)) > 0
    assert (found["limit"], found["told"], found["left_out"]) == (1, 4, f"{edit.left_out[DOWN]:.1%}")
    for way, answers in said.items():
        assert found[f"forget_{way}"] == f"{(len(answers[0]) + len(answers[1])) / 2:.3f}"
        assert found[f"retain_{way}"] == f"{(len(answers[2]) + len(answers[3])) / 2:.3f}"
    assert peft_folder.kinds(edit) == {DOWN: f"rank 1, which leaves out {edit.left_out[DOWN]:.1%}"}


def test_facts_name_the_rank_that_a_server_is_started_for(base: Path) -> None:
    found = {"difference": 1e-6, "logit": 12.0, "differs": [3], "float32": None}
    facts = peft_folder.facts(low_rank(OTHER), str(base), found, [1])
    assert (facts["rank"], facts["served"], facts["ties"]) == (3, 8, 1)
    assert facts["hashes"] == load_adapter.hashes(base)
