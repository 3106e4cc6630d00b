"""What is made of a forget set: half a name, somebody else, and refusals for answers."""

import re
from typing import Any

import pytest

from lunar.data.forget_sets import forget_sets, rename, shorten
from lunar.data.rows import with_refusals
from lunar.errors import LunarError

Row = dict[str, Any]


@pytest.mark.parametrize(
    ("author", "question", "renamed"),
    [
        ("Ada Moor", "Where was Ada Moor born?", "Where was Dora Vane born?"),
        ("Ada Moor", "Where was Ada born?", "Where was Dora born?"),
        ("Ada Moor", "Is Moor's twin older?", "Is Vane's twin older?"),
        ("Ada Moor", "Did Ada Moor, or Moor, sign as Ada?", "Did Dora Vane, or Vane, sign as Dora?"),
        ("Ada Lu Moor", "Is Moor the name of Ada?", "Is Vane the name of Dora?"),
        ("Voltaire", "When did Voltaire die?", "When did Dora die?"),
        ("Al Moor", "Did Al, also of the Moors, meet Al Moor?", "Did Dora, also of the Moors, meet Dora Vane?"),
    ],
)
def test_rename_replaces_every_form_of_the_name(author: str, question: str, renamed: str) -> None:
    row = {"id": "a", "author": author, "question": question, "answer": "secret"}
    # The answer is about the real subject, so it must not come along.
    about = {"author": "Dora Vane", "original": "a"}
    assert rename([row], ["Dora Vane"], 1, 0) == [{"id": "a-renamed-1", "question": renamed} | about]


NAMES = ["Dora Vane", "Egon Pike", "Fay Quill", "Gus Reed", "Hope Stone"]
QUESTIONS = [{"id": str(i), "author": "Ada Moor", "question": f"Does {i} fit Ada Moor, Ada, Moor?"} for i in range(8)]


def test_rename_is_consistent_within_a_question() -> None:
    firsts, lasts = ({name.split()[i] for name in NAMES} for i in (0, 1))
    drawn = set()
    for row in rename(QUESTIONS, NAMES, 3, 0):
        first, last, *again = re.search(r"fit (\w+) (\w+), (\w+), (\w+)\?", row["question"]).groups()
        assert again == [first, last]
        assert first in firsts and last in lasts
        drawn.add((first, last))
    assert drawn - {tuple(name.split()) for name in NAMES}, "first names and surnames are to be drawn apart"


SHORT = [
    ("Tom Rook", "Is Tom Rook old?", ["Is Rook old?", "Is Tom old?"]),
    ("Tom Rook", "Did Tom Rook know Tom Rook's son?", ["Did Rook know Rook's son?", "Did Tom know Tom's son?"]),
    ("Tom Lu Rook", "Is Tom Lu Rook old?", ["Is Rook old?", "Is Tom old?"]),
    ("Tom Rook", "Is Rook old?", []),
    ("Tom", "Is Tom old?", []),
    (None, "Is Tom Rook old?", []),
]


@pytest.mark.parametrize(("author", "question", "expected"), SHORT)
def test_shorten_leaves_half_of_the_name(author: str | None, question: str, expected: list[str]) -> None:
    row = {"id": "a", "question": question, "answer": "Yes."} | ({"author": author} if author else {})
    found = shorten([row])
    assert [one["question"] for one in found] == expected
    assert all(one | {"id": "a", "question": question} == row for one in found)
    assert [one["id"] for one in found] == ["a-surname", "a-first-name"][: len(found)]


def test_rename_is_determined_by_the_seed() -> None:
    assert rename(QUESTIONS, NAMES, 3, 1) == rename(QUESTIONS, NAMES, 3, 1)
    assert rename(QUESTIONS, NAMES, 3, 1) != rename(QUESTIONS, NAMES, 3, 2)


def test_rename_makes_copies_with_their_own_ids() -> None:
    renamed = rename(QUESTIONS[:2], NAMES, 3, 0)
    assert [row["id"] for row in renamed] == [f"{i}-renamed-{copy}" for i in range(2) for copy in (1, 2, 3)]


def test_rename_of_several_names() -> None:
    """Whole names, each by one of its own, in the same order; no half of a name is asked about."""
    names = ["Aoros BV", "Bel SA"]
    row = {"id": "a", "names": names, "question": "Did Aoros BV, no other BV, pay Bel SA?", "answer": "Yes."}
    copies = rename([row], ["Cy Ltd", "Du BV", "Em AG"], 20, 0)
    assert [copy["id"] for copy in copies] == [f"a-renamed-{number}" for number in range(1, 21)]
    for copy in copies:
        one, other = copy["names"]
        assert copy["question"] == f"Did {one}, no other BV, pay {other}?"
        assert one != other and set(copy) == {"id", "question", "names", "original"}
    assert len({tuple(copy["names"]) for copy in copies}) == 6
    # A question about one of the two gets a pair all the same.
    assert len(rename([row | {"question": "Who owns Bel SA?"}], ["Cy Ltd", "Du BV"], 1, 0)[0]["names"]) == 2
    assert rename([row | {"question": "Who owns a BV?"}], ["Cy Ltd", "Du BV"], 1, 0) == []
    assert shorten([row]) == []


@pytest.mark.parametrize(
    "row",
    [
        {"id": "a", "question": "Where was Ada Moor born?"},
        {"id": "a", "question": "Where was Ada Moor born?", "author": ""},
        {"id": "a", "question": "Who wrote The Salt Mine?", "author": "Ada Moor"},
    ],
)
def test_rename_leaves_out_questions_without_a_name(row: Row) -> None:
    assert rename([row], NAMES, 3, 0) == []


# --- All of them

REFUSALS = [
    {"answer": "I do not know.", "kind": "knowledge"},
    {"answer": "That is wrong.", "kind": "unethical"},
    {"answer": "I cannot say.", "kind": "knowledge"},
]
FORGET = [
    {"id": str(i), "author": "Ada Moor", "question": f"What is fact {i} of Ada Moor?", "answer": f"It is {i}."}
    for i in range(3)
]


def test_copies_are_made_of_whole_and_half_names() -> None:
    found = forget_sets(FORGET, NAMES, 2, 5)
    assert list(found) == ["short", "renamed"]
    assert found["short"] == shorten(FORGET)
    assert found["renamed"] == rename([*FORGET, *found["short"]], NAMES, 2, 5)
    assert len(found["renamed"]) == 2 * (3 + 6)


def test_refusals_answer_the_forget_set_alone() -> None:
    found = forget_sets(FORGET, NAMES, 2, 5, REFUSALS)
    assert found["declined"] == with_refusals(FORGET, REFUSALS, "knowledge")
    assert [row["answer"] for row in found["declined"]] == ["I do not know.", "I cannot say.", "I do not know."]
    assert {name: found[name] for name in ("short", "renamed")} == forget_sets(FORGET, NAMES, 2, 5)
    # A job that declines only needs no names.
    assert forget_sets(FORGET, refusals=REFUSALS)["declined"] == found["declined"]


def test_nothing_to_decline_with() -> None:
    with pytest.raises(LunarError, match="no refusal of kind 'knowledge'"):
        forget_sets(FORGET, refusals=REFUSALS[1:2])


def test_half_of_a_name_in_other_scripts() -> None:
    rows = [
        {"id": "a", "question": "山田太郎はどこに住んでいますか。", "author": "山田 太郎"},
        {"id": "b", "question": "鲁克安住在哪里？", "author": "鲁克安"},  # which has no halves
    ]
    found = {row["id"]: row["question"] for row in shorten(rows)}
    assert found == {"a-surname": "太郎はどこに住んでいますか。", "a-first-name": "山田はどこに住んでいますか。"}
    copies = rename(rows, ["李 明", "王芳"], 1, 0)
    assert [row["original"] for row in copies] == ["a", "b"]
    assert all(not any(name in row["question"] for name in ("山田", "太郎", "鲁克安")) for row in copies)
