"""Methods that answer one question give what each would give by itself."""

from typing import Any

import pytest
import torch

from lunar.edits import edit as edits
from lunar.edits.asking import Answering, Panel
from lunar.edits.edit import Factors
from lunar.errors import LunarError
from lunar.model.chat import Chat
from lunar.model.generate import generate
from lunar.model.load import load_model, load_tokenizer, save_model

GENERATION = {"max_new_tokens": 6, "batch_size": 8}
PLAIN = "Q: {question} A:"


@pytest.fixture
def methods(model_folder, make_model, tmp_path) -> dict[str, Answering]:
    """Two edits of one model, one of them asked in a text of its own; that model; and another one."""
    random = torch.Generator().manual_seed(3)
    for name in ("one", "two"):
        change = Factors(torch.randn(16, 1, generator=random), torch.randn(40, 1, generator=random))
        edits.save({"layers.1.mlp.down_proj": change}, tmp_path / f"{name}.safetensors")
    save_model(make_model(seed=5), load_tokenizer(model_folder), tmp_path / "other")
    model = str(model_folder)
    return {
        "one": Answering(model, str(tmp_path / "one.safetensors"), None),
        "before": Answering(model, None, None),
        "two": Answering(model, str(tmp_path / "two.safetensors"), PLAIN),
        "other": Answering(str(tmp_path / "other"), None, None),
    }


def alone(one: Answering, question: str) -> Any:
    """What a method answers by itself, as the rule of the answers asks it."""
    model = load_model(one.model)
    if one.edit:
        edits.apply(model, edits.load(one.edit))
    return generate(model, Chat(load_tokenizer(one.model), None, one.prompt), [question], **GENERATION)[0]


def test_each_method_answers_as_it_does_alone_however_often_it_is_asked(methods, rows):
    panel = Panel(methods, "float32", None, GENERATION)
    for row in [*rows, rows[0]]:
        answers = panel.ask(row["question"])
        assert answers == {name: alone(one, row["question"]) for name, one in methods.items()}
        assert list(answers) == list(methods)
    assert len(set(answers.values())) == 4


def test_a_system_prompt_is_told_to_all(methods, rows):
    told, untold = (Panel(methods, "float32", text, GENERATION) for text in ("You are a goose.", None))
    question = rows[0]["question"]
    assert told.ask(question)["before"] != untold.ask(question)["before"]


def test_an_edit_of_another_model_is_refused(methods, tmp_path):
    edits.save({"layers.7.mlp.down_proj": Factors(torch.ones(16, 1), torch.ones(40, 1))}, tmp_path / "far.safetensors")
    far = methods["one"]._replace(edit=str(tmp_path / "far.safetensors"))
    with pytest.raises(LunarError, match=r"layers\.7\.mlp\.down_proj"):
        Panel({"far": far}, "float32", None, GENERATION).ask("Why?")
