"""What target `ask` asks, and whom."""

import pytest

from clone import ROOT
from lunar.errors import LunarError
from lunar.plan import ask
from lunar.plan.plan import plan
from shipped import CONFIG


@pytest.mark.parametrize(
    "question",
    [
        "Who is Abel Rook?",
        'Who is Abel: the "baker" or #1, it\'s 100% = true?',
        '"Quoted"',
        "'Quoted'",
        "1984",
        "[a, b]",
        "{a: b}",
        "null",
        "1e3",
        "東京は?",
    ],
)
def test_a_question_is_taken_letter_by_letter(question):
    assert ask.literal(["run=[toy]", f"question={question}", "ask=[lunar]"]) == {"question": question}


def test_of_two_questions_the_last_is_taken_and_of_none_nothing():
    assert ask.literal(["question=One?", "question=Two?"]) == {"question": "Two?"}
    assert ask.literal(["run=[toy]", "questions=One?", "question="]) == {}


@pytest.fixture(scope="module")
def experiments():
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        return plan(CONFIG | {"run": ["toy"]}, ROOT / "scripts").experiments


def test_unless_told_the_controls_and_the_drawn_methods_are_asked(experiments):
    assert ask.methods(experiments["toy"], None) == {
        "vanilla": {"model": "results/toy/models/full", "edit": None, "prompt": None},
        "retain_only": {"model": "results/toy/models/retain_only", "edit": None, "prompt": None},
        "lunar-topk": {
            "model": "results/toy/models/full",
            "edit": "results/toy/edits/lunar-topk.safetensors",
            "prompt": None,
        },
    }


def test_methods_that_are_named_are_asked_in_their_order_with_their_own_prompt(experiments):
    found = ask.methods(experiments["toy"], ["lunar-replication", "npo", "vanilla"])
    assert list(found) == ["lunar-replication", "npo", "vanilla"]
    assert "{question}" in found["lunar-replication"]["prompt"]
    assert found["npo"]["edit"] == "results/toy/edits/npo.safetensors"


def test_a_model_from_elsewhere_is_asked_in_its_own_folder(experiments):
    one = experiments["openunlearning-1b"]
    name = next(iter(one.checkpoints()))
    assert ask.methods(one, [name]) == {
        name: {"model": f"results/openunlearning-1b/checkpoints/{name}", "edit": None, "prompt": None}
    }


def test_a_method_that_is_not_there_is_refused_with_those_that_are(experiments):
    with pytest.raises(LunarError, match=r"^ask\[1\]: 'lunr' is none of vanilla, .*; did you mean 'lunar'\?$"):
        ask.methods(experiments["toy"], ["npo", "lunr"])
