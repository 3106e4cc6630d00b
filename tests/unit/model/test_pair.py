"""What files tell of a model from elsewhere: each mix-up is one finding, and what does not matter is none."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file

from lunar.model.load import load_model
from lunar.model.pair import ADAPTER, ADAPTER_CONFIG, is_adapter, unfit


@pytest.fixture
def adapter(model_folder: Path, tmp_path: Path) -> Path:
    config = LoraConfig(r=2, target_modules=["embed_tokens", "down_proj"])
    get_peft_model(load_model(model_folder), config).save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


@pytest.fixture
def model(model_folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(model_folder, tmp_path / "model")


def change(path: Path, **values: Any) -> None:
    """Set values of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | values), encoding="utf-8")


def test_an_adapter_may_adapt_embeddings(adapter: Path, model_folder: Path) -> None:
    assert unfit(adapter, model_folder) == []


def test_an_adapter_on_more_tokens_is_refused(adapter: Path, model_folder: Path) -> None:
    name = "base_model.model.model.embed_tokens.lora_embedding_A"
    save_file({name: torch.zeros(2, 999)}, adapter / ADAPTER)
    [one] = unfit(adapter, model_folder)
    assert "its model.embed_tokens has 999 tokens, and that of the model before" in one.found


def test_an_adapter_may_adapt_a_head_that_is_tied(make_model: Any, model_folder: Path, tmp_path: Path) -> None:
    make_model(tie_word_embeddings=True).save_pretrained(tmp_path / "before")
    adapted = get_peft_model(load_model_as_saved(tmp_path / "before"), LoraConfig(r=2, target_modules=["lm_head"]))
    adapted.save_pretrained(tmp_path / "adapter")
    assert unfit(tmp_path / "adapter", tmp_path / "before") == []


def load_model_as_saved(folder: Path) -> Any:
    """A model whose folder has no tokenizer."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder)


def test_the_model_s_configuration_may_lie_beside_an_adapter(adapter: Path, model_folder: Path) -> None:
    shutil.copy(model_folder / "config.json", adapter)
    assert is_adapter(adapter)
    assert unfit(adapter, model_folder) == []


def test_a_model_with_an_adapter_beside_it_is_refused(model: Path, model_folder: Path) -> None:
    (model / ADAPTER_CONFIG).write_text("{}", encoding="utf-8")
    assert not is_adapter(model)
    assert "an adapter beside or instead of a model" in unfit(model, model_folder)[0].found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is no JSON"),
        ("[]", "holds no JSON object"),
        ("{}", "has no peft_type"),
        ('{"peft_type": "PREFIX_TUNING"}', "peft_type PREFIX_TUNING changes no weight"),
    ],
)
def test_adapters_whose_configuration_does_not_do(adapter: Path, model_folder: Path, text: str, said: str) -> None:
    (adapter / ADAPTER_CONFIG).write_text(text, encoding="utf-8")
    [one] = unfit(adapter, model_folder)
    assert said in one.found


def test_a_folder_of_neither_names_those_below_it(adapter: Path, model_folder: Path, tmp_path: Path) -> None:
    [one] = unfit(tmp_path, model_folder)
    assert "neither config.json nor adapter_config.json" in one.found
    assert one.remedy == f"name {adapter}"
    (tmp_path / "empty").mkdir()
    [one] = unfit(tmp_path / "empty", model_folder)
    assert one.remedy == "name a Hugging Face model folder, or a PEFT folder"


@pytest.mark.parametrize(("text", "said"), [("{", "is no JSON"), ('{"model": []}', "has no model")])
def test_a_damaged_tokenizer_is_said_once(model: Path, model_folder: Path, text: str, said: str) -> None:
    (model / "tokenizer.json").write_text(text, encoding="utf-8")
    [one] = unfit(model, model_folder)
    assert said in one.found


def test_fewer_embeddings_than_tokens_are_refused(model: Path, model_folder: Path) -> None:
    resized = load_model(model)
    resized.resize_token_embeddings(100)
    resized.save_pretrained(model)
    [one] = unfit(model, model_folder)
    assert f"{model}: it has 100 embeddings, and tokens of the model before go up to number" in one.found


def test_what_matters_in_training_alone_may_differ(model: Path, model_folder: Path) -> None:
    change(model / "config.json", attention_dropout=0.1, initializer_range=1.0, use_cache=False)
    assert unfit(model, model_folder) == []
    change(model / "config.json", rms_norm_eps=0.5)
    assert "rms_norm_eps 0.5, not" in unfit(model, model_folder)[0].found


def test_a_link_to_weights_that_are_gone(model: Path, model_folder: Path) -> None:
    (model / "model.safetensors").unlink()
    (model / "model.safetensors").symlink_to("blobs/gone")
    assert "model.safetensors is a link to blobs/gone, which is not there" in unfit(model, model_folder)[0].found
