"""Sizes of models that were not fetched yet."""

import json

import pytest

from lunar.plan.size import SHIPPED, SUMS, larger_sums, memory, of_sizes, parameters, statistics
from shipped import CONFIG

# config.json of SmolLM2-135M-Instruct and of Llama-2-7b, as far as sizes go.
SMOLLM2 = {
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "tie_word_embeddings": True,
    "vocab_size": 49152,
}
LLAMA2 = {
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "vocab_size": 32000,
}


LLAMA3 = LLAMA2 | {"intermediate_size": 14336, "num_key_value_heads": 8, "vocab_size": 128256}
EXPERIMENTS = CONFIG["experiments"]
# As their cards say.
PARAMETERS = {
    "tofu-llama2-7b": 6.74e9,
    "pistol-llama3-8b": 8.03e9,
    "pistol-qwen2.5-7b": 7.61e9,
    "pistol-gemma-7b": 8.54e9,
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_stated_sizes_of_models_on_a_hub(name):
    model = EXPERIMENTS[name]["model"]
    assert parameters(model) == pytest.approx(PARAMETERS[name], rel=0.003)
    blocks = EXPERIMENTS[name]["layers"]["candidates"]
    assert max([*blocks, EXPERIMENTS[name]["figures"]["late_layer"]]) < model["size"]["num_hidden_layers"]


def test_memory_at_the_size_of_the_paper():
    """Weights in bfloat16 take half, and the sums of five blocks more than they do."""
    sums = larger_sums(LLAMA2, 5)
    assert sums == statistics(LLAMA2, 5) - SUMS == pytest.approx(47.5e9, rel=0.01)
    number = of_sizes(LLAMA2)
    assert memory(number, False, "bfloat16") == pytest.approx(3.1e9 + 3 * number, rel=0.01)
    assert memory(number, False, "bfloat16", sums) == memory(number, False, "bfloat16") + sums
    assert memory(number, False, "float32") == pytest.approx(2.7e9 + 6 * number, rel=0.01)
    # Fine-tuning is in float32 in any case.
    assert memory(number, True, "bfloat16", sums) == memory(number, True) == pytest.approx(20 * number, rel=0.03)
    assert larger_sums(SMOLLM2, 5) == 0, "the default asks for more than it did"
    assert larger_sums({}, 5) == 0


def test_sizes_give_the_published_numbers():
    assert of_sizes(LLAMA3) == pytest.approx(8.03e9, rel=0.003)
    assert of_sizes(SMOLLM2) == pytest.approx(134.5e6, rel=0.002)
    assert of_sizes(LLAMA2) == pytest.approx(6.738e9, rel=0.002)


@pytest.mark.parametrize(
    ("model", "number"),
    [
        ({"source": "hub", "name": "llama", "id": "meta-llama/Llama-2-7b-chat-hf"}, 7_000_000_000),
        ({"source": "hub", "name": "qwen", "id": "Qwen/Qwen2.5-1.5B-Instruct"}, 1_500_000_000),
        ({"source": "wheel", "name": "smollm2", "file": "llm/SmolLM2-135M-Instruct.Q4_1.gguf"}, 135_000_000),
        ({"source": "path", "name": "mine", "folder": "/models/some-360m"}, 360_000_000),
        ({"source": "path", "name": "mine", "folder": "/models/llama2b2"}, SHIPPED),  # no number of parameters
    ],
)
def test_names_say_how_large(model, number):
    assert parameters(model) == number


def test_a_local_folder_is_believed_before_its_name(tmp_path):
    folder = tmp_path / "model-70b"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(SMOLLM2), encoding="utf-8")
    model = {"source": "path", "name": "mine", "folder": str(folder)}
    assert parameters(model) == of_sizes(SMOLLM2)


def test_random_weights_have_their_sizes_stated():
    size = {key: value for key, value in SMOLLM2.items() if key != "vocab_size"}
    assert parameters({"source": "random", "name": "toy", "size": size, "vocabulary": 49152}) == of_sizes(SMOLLM2)
