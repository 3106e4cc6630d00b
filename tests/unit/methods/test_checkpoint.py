"""Models from elsewhere as plain folders: taken in as they are, merged, cut, or refused with the reason."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from lunar.data.checksum import sha256
from lunar.errors import LunarError
from lunar.methods.checkpoint import TOKENIZER, differing, digests, take
from lunar.model.chat import Chat
from lunar.model.load import load_model, load_tokenizer
from lunar.model.pair import IDS


@pytest.fixture
def unlearned(model_folder: Path, tmp_path: Path) -> Path:
    """The tiny model with another matrix, saved as others save one."""
    model = load_model(model_folder)
    with torch.no_grad():
        model.model.layers[1].mlp.down_proj.weight.mul_(1.5)
    model.save_pretrained(tmp_path / "unlearned")
    load_tokenizer(model_folder).save_pretrained(tmp_path / "unlearned")
    return tmp_path / "unlearned"


@pytest.fixture
def adapter(model_folder: Path, tmp_path: Path) -> Path:
    """A LoRA on the tiny model whose factors are not zero."""
    torch.manual_seed(0)
    config = LoraConfig(r=2, lora_alpha=4, target_modules=["down_proj", "q_proj"], init_lora_weights=False)
    adapted = get_peft_model(load_model(model_folder), config)
    adapted.save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


def taken(origin: Path, before: Path, rows: list[dict[str, str]], **settings: Any) -> Path:
    """Where a model was taken in."""
    folder = origin.parent / "taken"
    take(origin, before, folder, rows, "float32", settings)
    return folder


def logits(folder: Path, rows: list[dict[str, str]]) -> torch.Tensor:
    """What a folder's model makes of the first row."""
    chat = Chat(load_tokenizer(folder))
    with torch.no_grad():
        return load_model(folder)(torch.tensor([chat.encode(rows[0]["question"]).ids])).logits


def test_a_folder_is_taken_in_to_the_bit(unlearned: Path, model_folder: Path, rows: list[dict[str, str]]) -> None:
    folder = taken(unlearned, model_folder, rows)
    assert torch.equal(logits(folder, rows), logits(unlearned, rows))
    assert not torch.equal(logits(folder, rows), logits(model_folder, rows))
    assert (folder / "model.safetensors").is_symlink()  # large files are not copied


def test_tokenizer_template_and_ends_are_those_of_the_model_before(
    unlearned: Path, model_folder: Path, rows: list[dict[str, str]], tmp_path: Path
) -> None:
    """They may be missing, and other ends of answers than before would cut answers elsewhere."""
    before = shutil.copytree(model_folder, tmp_path / "before")
    (before / "generation_config.json").write_text(json.dumps({"eos_token_id": [1, 7]}), encoding="utf-8")
    for name in TOKENIZER:
        (unlearned / name).unlink(missing_ok=True)
    (unlearned / "generation_config.json").write_text(json.dumps({"eos_token_id": 5}), encoding="utf-8")
    folder = taken(unlearned, before, rows)
    assert load_tokenizer(folder).generation_ends == [1, 7]
    assert Chat(load_tokenizer(folder)).encode(**rows[0]) == Chat(load_tokenizer(before)).encode(**rows[0])


def test_shards_and_bfloat16(unlearned: Path, model_folder: Path, rows: list[dict[str, str]]) -> None:
    model = load_model(unlearned).to(torch.bfloat16)
    (unlearned / "model.safetensors").unlink()
    model.save_pretrained(unlearned, max_shard_size="8KB")
    assert len(list(unlearned.glob("model-*.safetensors"))) > 2
    folder = taken(unlearned, model_folder, rows)
    found, wanted = load_model(folder).state_dict(), model.float().state_dict()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_embeddings_that_were_resized_are_cut(
    unlearned: Path, model_folder: Path, rows: list[dict[str, str]], tmp_path: Path
) -> None:
    wanted = logits(unlearned, rows)
    model = load_model(unlearned)
    model.resize_token_embeddings(model.config.vocab_size + 6, mean_resizing=False)
    model.save_pretrained(unlearned)
    said = take(unlearned, model_folder, tmp_path / "taken", rows, "float32", {})
    assert said == ["6 rows of its embeddings, which no token of the model before has, were cut off"]
    assert torch.equal(logits(tmp_path / "taken", rows), wanted)


def test_an_adapter_is_merged(adapter: Path, model_folder: Path, rows: list[dict[str, str]]) -> None:
    folder = taken(adapter, model_folder, rows)
    halves = load_file(adapter / "adapter_model.safetensors")
    name = "base_model.model.model.layers.2.mlp.down_proj.lora_{}.weight"
    change = 2.0 * halves[name.format("B")] @ halves[name.format("A")]
    old, new = (load_model(path).model.layers[2].mlp.down_proj.weight for path in (model_folder, folder))
    torch.testing.assert_close(new - old, change, atol=1e-6, rtol=1e-5)


def on_tied(make_model: Any, model_folder: Path, folder: Path, **config: Any) -> tuple[Path, Path, Any]:
    """A model whose head is its embeddings, an adapter on either, and the two together."""
    before, adapter = folder / "before", folder / "adapter"
    make_model(tie_word_embeddings=True).save_pretrained(before)
    load_tokenizer(model_folder).save_pretrained(before)
    torch.manual_seed(0)
    adapted = get_peft_model(load_model(before), LoraConfig(r=2, init_lora_weights=False, **config)).eval()
    adapted.save_pretrained(adapter)
    return before, adapter, adapted


@pytest.mark.parametrize("part", ["embed_tokens", "lm_head"])
def test_an_adapter_on_one_of_two_tied_weights_leaves_the_other(
    make_model: Any, model_folder: Path, rows: list[dict[str, str]], tmp_path: Path, part: str
) -> None:
    """Merged into the weight that both share, it would change the other as well."""
    before, adapter, adapted = on_tied(make_model, model_folder, tmp_path, target_modules=[part])
    folder = taken(adapter, before, rows)
    ids = torch.tensor([Chat(load_tokenizer(before)).encode(rows[0]["question"]).ids])
    with torch.no_grad():
        torch.testing.assert_close(logits(folder, rows), adapted(ids).logits, atol=1e-4, rtol=1e-4)


def test_a_merge_that_does_something_else_is_refused(
    make_model: Any, model_folder: Path, rows: Any, tmp_path: Path
) -> None:
    """PEFT 0.21 adds a tied adapter to the weight that two modules share once for each."""
    config = {"target_modules": ["embed_tokens"], "ensure_weight_tying": True}
    before, adapter, _ = on_tied(make_model, model_folder, tmp_path, **config)
    with pytest.raises(LunarError, match="merged into the model before, the adapter does not do what it does beside"):
        taken(adapter, before, rows)


def test_an_adapter_without_some_of_its_weights_is_refused(adapter: Path, model_folder: Path, rows: Any) -> None:
    path = adapter / "adapter_model.safetensors"
    save_file({name: one for name, one in load_file(path).items() if "layers.2" not in name}, path)
    with pytest.raises(LunarError, match=r"4 weights are missing in adapter_model.safetensors, such as .*layers.2"):
        taken(adapter, model_folder, rows)


def test_a_padding_token_that_was_added_is_gone(
    unlearned: Path, model_folder: Path, rows: list[dict[str, str]]
) -> None:
    """Many recipes add one, and name it in config.json; its row of the embeddings is cut off."""
    model = load_model(unlearned)
    added = model.config.vocab_size
    model.resize_token_embeddings(added + 1, mean_resizing=False)
    model.config.pad_token_id = added
    model.save_pretrained(unlearned)
    told = json.loads((taken(unlearned, model_folder, rows) / "config.json").read_text(encoding="utf-8"))
    before = json.loads((model_folder / "config.json").read_text(encoding="utf-8"))
    assert [told.get(key) for key in IDS] == [before.get(key) for key in IDS]
    assert json.loads((unlearned / "config.json").read_text(encoding="utf-8"))["pad_token_id"] == added  # as it was


def test_templates_without_a_default_are_passed_over(unlearned: Path, model_folder: Path, rows: Any) -> None:
    tokenizer = load_tokenizer(unlearned)
    tokenizer.chat_template = {"tool_use": "{{ 1 }}"}
    tokenizer.save_pretrained(unlearned)
    assert taken(unlearned, model_folder, rows).is_dir()


def test_another_tokenizer_is_refused(unlearned: Path, model_folder: Path, rows: list[dict[str, str]]) -> None:
    data = json.loads((unlearned / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = data["model"]["vocab"]
    first, second = [token for token in vocabulary if len(token) == 1][:2]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    (unlearned / "tokenizer.json").write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(LunarError, match=r"its tokenizer is not that of the model before \(2 tokens differ"):
        taken(unlearned, model_folder, rows)


def test_another_template_is_refused_by_what_it_puts(
    unlearned: Path, model_folder: Path, rows: list[dict[str, str]]
) -> None:
    tokenizer = load_tokenizer(unlearned)
    tokenizer.chat_template = tokenizer.chat_template.replace("<|im_start|>", "<|im_start|> ")
    tokenizer.save_pretrained(unlearned)
    with pytest.raises(LunarError, match="its chat template or tokenizer puts 'Where does Etta Crane live"):
        taken(unlearned, model_folder, rows)


def test_another_architecture_is_refused(make_model: Any, model_folder: Path, rows: Any, tmp_path: Path) -> None:
    other = tmp_path / "other"
    make_model("llama", rope_theta=500.0).save_pretrained(other)
    with pytest.raises(LunarError, match=r"config.json is not that of the model before \(rope"):
        taken(other, model_folder, rows)
    make_model("qwen2").save_pretrained(other)
    with pytest.raises(LunarError, match="model_type 'qwen2', not 'llama'"):
        taken(other, model_folder, rows)


def test_an_adapter_of_another_base_is_refused(
    adapter: Path, make_model: Any, model_folder: Path, rows: Any, tmp_path: Path
) -> None:
    config = LoraConfig(r=2, target_modules=["down_proj"])
    get_peft_model(make_model(intermediate_size=48), config).save_pretrained(tmp_path / "wide")
    with pytest.raises(LunarError, match="down_proj has 48 inputs, and that of the model before 40"):
        taken(tmp_path / "wide", model_folder, rows)
    get_peft_model(make_model(num_hidden_layers=5), config).save_pretrained(tmp_path / "deep")
    with pytest.raises(LunarError, match=r"it adapts model.layers.\d.mlp.down_proj, which the model before does not"):
        taken(tmp_path / "deep", model_folder, rows)
    # Of the same shape: by the folder that it names.
    make_model(seed=7).save_pretrained(tmp_path / "base")
    path = adapter / "adapter_config.json"
    named = json.loads(path.read_text(encoding="utf-8")) | {"base_model_name_or_path": str(tmp_path / "base")}
    path.write_text(json.dumps(named), encoding="utf-8")
    with pytest.raises(LunarError, match=r"trained on .*base, whose .* is not that of the model before"):
        taken(adapter, model_folder, rows)


def test_pickled_and_prompt_adapters_are_refused(adapter: Path, model_folder: Path, rows: Any) -> None:
    weights = adapter / "adapter_model.safetensors"
    weights.rename(adapter / "adapter_model.bin")
    with pytest.raises(LunarError, match="pickled weights are never loaded"):
        taken(adapter, model_folder, rows)
    save_file({"prompt_embeddings": torch.zeros(4, 16)}, weights)
    said = {"peft_type": "PROMPT_TUNING", "task_type": "CAUSAL_LM", "num_virtual_tokens": 4}
    (adapter / "adapter_config.json").write_text(json.dumps(said), encoding="utf-8")
    with pytest.raises(LunarError, match="peft_type PROMPT_TUNING changes no weight"):
        taken(adapter, model_folder, rows)


def test_folders_are_told_apart_by_their_weights(unlearned: Path, model_folder: Path) -> None:
    assert differing(unlearned, model_folder) == "model.layers.1.mlp.down_proj.weight"
    assert differing(model_folder, model_folder) is None


def test_digests_are_those_of_the_files(unlearned: Path) -> None:
    found = digests(unlearned)
    assert found["model.safetensors"] == sha256(unlearned / "model.safetensors")
    assert {"config.json", "tokenizer.json"} <= found.keys()
