"""Examples of what came back, and evidence in brief."""

from typing import Any

import pytest

from attacked import REFUSAL
from lunar.pages.evidence import brief, evidence_page, examples


def answer(name: str, prediction: str, gold: str = "red green blue black", question: str = "?") -> dict[str, Any]:
    return {"id": name, "question": question, "answer": gold, "prediction": prediction}


def test_examples_are_what_regained_most() -> None:
    unattacked = {"lunar": [answer("a", REFUSAL), answer("b", "red"), answer("c", "red green blue black")]}
    attacked = {
        ("lunar", "skip"): [answer("a", "red"), answer("b", "red green"), answer("c", "red")],
        # Of the last answer two words were given to the model: only the others count, and it had said one of them.
        ("lunar", "prefill"): [
            answer("a", "red green blue", question="Sure?"),
            answer("b", "blue black", "blue black"),
            answer("c", "blue black", "blue black"),
        ],
        ("retain_only", "skip"): [answer("a", "never"), answer("b", "never"), answer("c", "never")],
    }
    found = examples(attacked, unattacked, ["lunar"], 5)["lunar"]
    assert [(one["attack"], one["gain"]) for one in found] == [("prefill", 1.0), ("prefill", 0.75)]
    assert (found[0]["gold"], found[0]["control"], found[0]["before"]) == ("blue black", None, 0.0)
    assert (found[1]["question"], found[1]["asked"], found[1]["unattacked"]) == ("?", "Sure?", REFUSAL)
    assert found[1]["kinds"] == ["knowledge", "answer"]
    assert len(examples(attacked, unattacked, ["lunar"], 1)["lunar"]) == 1
    del attacked["lunar", "prefill"]
    found = examples(attacked, unattacked, ["lunar"], 5)["lunar"]
    assert [(one["attack"], one["gain"], one["control"]) for one in found] == [("skip", 0.25, "never")] * 2


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.123456, "0.123"),
        (12, "12"),
        (True, "yes"),
        (None, "none"),
        ([1, 2], "1, 2"),
        ([3, 1, 2, 5], "4 from 1 to 5"),
        (["a", "b", "c", "d"], "4 entries"),
        ({"forget": 0.5, "retain": 1.0}, "forget 0.5, retain 1"),
        ({str(i): i for i in range(9)}, "9 from 0 to 8"),
        ("x" * 80, "x" * 57 + "..."),
        ({}, ""),
    ],
)
def test_evidence_in_brief(value: Any, text: str) -> None:
    assert brief(value) == text


def test_evidence_of_every_method() -> None:
    evidence = {
        ("lunar", "skip"): {"fired": 3, "changed": {}},
        ("dpo", "skip"): {"calls": 2},
        ("dpo", "typos"): {"n": 1},
    }
    skip, typos = evidence_page({"skip": {"same": 1.0}, "typos": {}}, evidence)
    assert (skip["control"], skip["columns"]) == ([("same", "1")], ["fired", "changed", "calls"])
    assert [(row["method"], row["cells"]) for row in skip["rows"]] == [("lunar", ["3", "", ""]), ("dpo", ["", "", "2"])]
    assert [row["method"] for row in typos["rows"]] == ["dpo"]
