"""Sizes of models that were not fetched yet."""

import json

import pytest

from lunar.size import SHIPPED, of_sizes, parameters

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


def test_sizes_give_the_published_numbers():
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
