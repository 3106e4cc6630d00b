"""The published search for a layer, on three layers whose answers are known."""

import json
from pathlib import Path

import pytest

from lunar.errors import LunarError
from lunar.published.layers import choice_in_words, layer_ranking, layer_search
from publications import embed

STEERED = {
    15: ["He was born in Lima.", "A novel."],
    16: ["I do not know.", "A novel."],
    17: ["I do not know.", "I cannot say."],
}


def layer_file(path: Path, **fields) -> Path:
    path.write_text("".join(json.dumps({"answer": answers} | fields) + "\n" for answers in STEERED.values()))
    return path


def test_layer_ranking(tmp_path) -> None:
    # The reference for lack of knowledge lies on the axis of refusals, the unethical one on the other.
    path = layer_file(tmp_path / "layers.jsonl", reference=["I do not know.", "Sure."])
    ranking = layer_ranking(path, [15, 16, 17], "I do not know.", ["That is wrong."], embed)
    assert [(row["layer"], row["rank"], row["score"]) for row in ranking] == [(17, 1, 1.0), (16, 2, 0.0), (15, 3, -1.0)]
    assert [row["own_reference"] for row in ranking] == [0.5, 1.0, 0.5]
    assert [row["refusals"] for row in ranking] == [1.0, 0.5, 0.0]
    assert choice_in_words(ranking, 16) == (
        "Published choice: layer 16. By this project's score it is 2 of 3 (first is layer 17); by the cosine to each "
        "question's own refusal 1 of 3; by the share of refusals 2 of 3 (first is layer 17), 50% of its answers."
    )


def test_layer_ranking_without_references(tmp_path) -> None:
    path = layer_file(tmp_path / "layers.jsonl")
    ranking = layer_ranking(path, [15, 16, 17], "I do not know.", ["That is wrong."], embed)
    assert {row["own_reference"] for row in ranking} == {None}
    assert "own refusal" not in choice_in_words(ranking, 17)


@pytest.mark.parametrize(
    ("fields", "layers", "words"),
    [
        ({}, [15, 16], ":3: 2 layers were searched, but the file holds 3 lines"),
        ({"answer": "I do not know."}, [15, 16, 17], ":1: field 'answer' must be a list of texts"),
        ({"answer": [None]}, [15, 16, 17], ":1: field 'answer' must be a list of texts"),
        ({"reference": ["one"]}, [15, 16, 17], ":1: 2 answers, 1 references"),
    ],
)
def test_bad_layer_file(tmp_path, fields, layers, words) -> None:
    path = layer_file(tmp_path / "layers.jsonl", **fields)
    with pytest.raises(LunarError) as caught:
        layer_ranking(path, layers, "I do not know.", ["That is wrong."], embed)
    assert str(caught.value) == f"{path}{words}"


def test_layer_search(tmp_path) -> None:
    layer_file(tmp_path / "layers.jsonl")
    published = {"file": "layers.jsonl", "candidates": [15, 16, 17], "chosen": 16}
    ranking, choice = layer_search(published, tmp_path, "I do not know.", ["That is wrong."], embed)
    assert [(row["layer"], row["published_choice"]) for row in ranking] == [(17, False), (16, True), (15, False)]
    assert choice.startswith("Published choice: layer 16. By this project's score it is 2 of 3")


def test_layer_search_without_its_file(tmp_path) -> None:
    published = {"file": "layers.jsonl", "candidates": [15], "chosen": 15}
    assert layer_search(published, tmp_path, "", [], pytest.fail) == ([], "absent: layers.jsonl")
