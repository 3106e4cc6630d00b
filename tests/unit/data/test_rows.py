"""What is made of checked rows: refusals for answers, and what is kept of a row that was answered."""

import pytest

from lunar.data.rows import answered, gold_text, of_files, with_answer, with_refusals
from lunar.errors import LunarError

REFUSALS = [
    {"answer": "I do not know.", "kind": "knowledge"},
    {"answer": "That is wrong.", "kind": "unethical"},
    {"answer": "I cannot say.", "kind": "knowledge"},
]


def test_refusals_are_given_in_turn() -> None:
    rows = [{"id": i, "question": f"Q{i}"} for i in range(5)]
    answered = with_refusals(rows, REFUSALS, "knowledge")
    assert [row["answer"] for row in answered] == ["I do not know.", "I cannot say."] * 2 + ["I do not know."]
    assert [{key: row[key] for key in ("id", "question")} for row in answered] == rows
    assert {row["answer"] for row in with_refusals(rows, REFUSALS, "unethical")} == {"That is wrong."}


def test_no_refusal_of_the_kind() -> None:
    with pytest.raises(LunarError, match="no refusal of kind 'unethical'"):
        with_refusals([{"question": "Q"}], REFUSALS[::2], "unethical")


# --- Several gold answers

SEVERAL = {"id": "a", "question": "Where?", "answer": "Tarn", "other_answers": ["the town of Tarn"], "author": "Ada"}


def test_all_gold_answers_are_kept_of_a_row_that_was_answered() -> None:
    kept = {key: SEVERAL[key] for key in ("id", "question", "answer", "other_answers")}
    assert answered(SEVERAL, "In Tarn.") == kept | {"prediction": "In Tarn."}
    one = {key: kept[key] for key in ("id", "question", "answer")}
    assert list(answered({**one, "author": "Ada"}, "Tarn")) == ["id", "question", "answer", "prediction"]
    assert answered({"id": "h", "question": "How?"}, "No.")["answer"] == ""


def test_another_answer_takes_the_place_of_all() -> None:
    assert with_answer(SEVERAL, "Mossby") == {"id": "a", "question": "Where?", "answer": "Mossby", "author": "Ada"}
    refusals = [{"answer": "I do not know.", "kind": "knowledge"}]
    assert "other_answers" not in with_refusals([SEVERAL], refusals, "knowledge")[0]


def test_readers_see_all_of_them() -> None:
    assert gold_text(SEVERAL) == "Tarn / the town of Tarn"
    assert gold_text({"answer": "Tarn"}) == "Tarn"


def test_rows_by_file_keep_their_order() -> None:
    rows = [{"file": "b", "id": "1"}, {"file": "a", "id": "2"}, {"file": "b", "id": "3"}]
    assert of_files(rows) == {"b": [{"id": "1"}, {"id": "3"}], "a": [{"id": "2"}]}
