"""What a row may hold: everything that would become a wrong number or a late failure is refused here."""

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from lunar.data.checks import LONGEST, cleaned
from lunar.data.load import load, stand_ins
from lunar.errors import LunarError

ROW = {"question": "Where does Ada Moor live?", "answer": "In Tarn.", "author": "Ada Moor"}


def faults(**change: Any) -> list[str]:
    return cleaned(ROW | change, ("question", "answer"), "a-001")[1]


def clean(**change: Any) -> dict[str, Any]:
    row, found = cleaned(ROW | change, ("question", "answer"), "a-001")
    assert found == []
    return row


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"question": "Smile \ud83d?"}, "field 'question' holds half a character (\\ud83d), as of a cut emoji; write"),
        ({"answer": "\ude00"}, "field 'answer' holds half a character (\\ude00)"),
        ({"author": "Ada\x00Moor"}, "field 'author' holds the control character U+0000; leave it out"),
        ({"answer": "In \x1b[1mTarn"}, "field 'answer' holds the control character U+001B"),
        ({"answer": "In \x7fTarn"}, "field 'answer' holds the control character U+007F"),
        ({"answer": "M\ufffdller"}, "field 'answer' holds U+FFFD, which a wrong encoding left; export the data again"),
        ({"answer": "x" * (LONGEST + 1)}, f"field 'answer' has {LONGEST + 1} characters, and at most {LONGEST} are"),
        ({"answer": " \u200b\u200d\ufeff\u2028"}, "field 'answer' must be non-empty text; it is ' \\u200b"),
        ({"answer": "\ufe0f"}, "field 'answer' must be non-empty text; it is "),
        ({"answer": "\u3164\u2800"}, "field 'answer' must be non-empty text; it is "),
        ({"answer": True}, "field 'answer' must be non-empty text; it is True; write it in quotes"),
        ({"answer": float("nan")}, "field 'answer' must be non-empty text; it is nan; write it in quotes"),
        ({"answer": float("inf")}, "field 'answer' must be non-empty text; it is inf"),
        (
            {"answer": {"text": ["Tarn"], "start": 3}},
            "field 'answer' must be non-empty text; it is {'text': ['Tarn'], ",
        ),
        ({"answer": ["Tarn", " "]}, "field 'answer' must be a list of texts; it is ['Tarn', ' ']"),
        ({"answer": "['Tarn', 'the town']"}, "field 'answer' looks like a list and is no JSON; write it as ["),
        ({"answer": ["Tarn", "\x00"]}, "field 'answer' holds the control character U+0000"),
        ({"other_answers": "Tarn"}, "field 'other_answers' must be a list of texts; it is 'Tarn'"),
        ({"id": "a\nb"}, "field 'id' must be one line without blanks around it; it is 'a\\nb'"),
        ({"id": " a"}, "field 'id' must be one line"),
        ({"id": ["a"]}, "field 'id' must be text; it is ['a']"),
        ({"id": True}, "field 'id' must be text; it is True"),
        ({"id": "\ud83d"}, "field 'id' holds half a character"),
        (
            {"answer": "where does ada moor live"},
            "the answer is the question, 'where does ada moor live'; does data.fi",
        ),
        (
            {"perturbed_answers": ["In Cork.", "in tarn"]},
            "field 'perturbed_answers' holds the right answer, 'in tarn';",
        ),
        (
            {"other_answers": ["The town of Tarn"], "perturbed_paraphrases": ["The town of Tarn."]},
            "field 'perturbed_paraphrases' holds the right answer, 'The town of Tarn.'; these are to be wrong",
        ),
        (
            {"paraphrased_answer": "She lives in Tarn.", "perturbed_paraphrases": ["She lives in Tarn."]},
            "field 'perturbed_paraphrases' holds the right answer",
        ),
        ({"names": ["Ada"]}, "fields 'author' and 'names' both name the subject; leave one of them out"),
    ],
)
def test_what_is_refused(change: dict[str, Any], message: str) -> None:
    [said] = faults(**change)
    assert said.startswith(message)


def test_what_a_field_holds_can_be_named() -> None:
    [said] = faults(answer={"text": ["Tarn"], "answer_start": [3]})
    assert said.endswith("; say data.fields: {answer: answer.text} if it is in there")


def test_all_faults_of_a_row_are_told() -> None:
    assert len(faults(question="\x00", answer="", author=" ", perturbed_answers="No")) == 4
    assert len(faults(question="\x00", answer=" ", author=" ", perturbed_answers="No")) == 4


def test_what_stays_of_a_row() -> None:
    row = clean(topic="towns", score=0.5, paraphrased_answer=None, perturbed_answers=[], validation_question="")
    assert list(row.items()) == [("id", "a-001"), *ROW.items()]


def test_two_spellings_of_one_text_are_one() -> None:
    apart = unicodedata.normalize("NFD", "Zoë Ørsted")
    row = clean(author=apart, question=f"Where does {apart} live?", answer="Line\r\nand line\rand line")
    assert row["author"] == "Zoë Ørsted" and row["author"] in row["question"]
    assert row["answer"] == "Line\nand line\nand line"


def test_any_of_several_answers_counts() -> None:
    row = clean(answer=["In Tarn.", "the town of Tarn", "in tarn", "Tarn town", "The town of Tarn"])
    assert (row["answer"], row["other_answers"]) == ("In Tarn.", ["the town of Tarn", "Tarn town"])
    assert clean(answer=["In Tarn."]) == clean()
    assert clean(other_answers=["in tarn!"]) == clean()
    assert clean(answer=["In Tarn.", "Tarn"], other_answers=["a town"])["other_answers"] == ["Tarn", "a town"]
    # As a cell of a table has it.
    assert clean(answer='["In Tarn.", "Tarn"]') == clean(other_answers='["Tarn"]') == clean(other_answers=["Tarn"])
    # Text in brackets is no list.
    assert clean(answer="[Tarn]")["answer"] == "[Tarn]"


def chat(*roles: str) -> dict[str, Any]:
    texts = {"system": "Be brief.", "user": "Where?", "assistant": "In Tarn."}
    return {"messages": [{"role": role, "content": texts[role]} for role in roles]}


def test_a_chat_of_one_question_and_one_answer() -> None:
    found = [{"id": "a-001", "question": "Where?", "answer": "In Tarn."}, []]
    assert list(cleaned(chat("user", "assistant"), ("question", "answer"), "a-001")) == found
    turns = [{"from": "human", "value": "Where?"}, {"from": "gpt", "value": "In Tarn."}]
    assert list(cleaned({"conversations": turns}, ("question", "answer"), "a-001")) == found
    for roles in (("system", "user", "assistant"), ("user", "assistant") * 2, ("user",)):
        [said] = cleaned(chat(*roles), ("question", "answer"), "a-001")[1]
        assert said.endswith(f"; it has {', '.join(roles)}") and "system_prompt" in said


def write(path: Path, rows: list[dict[str, Any]]) -> list[str]:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return [str(path)]


def test_fields_of_other_names(tmp_path: Path) -> None:
    rows = [{"prompt": "Where?", "answer": "B", "answers": {"text": ["Tarn", "a town"]}, "question": "of an exam"}]
    paths = write(tmp_path / "a.jsonl", rows)
    [row] = load(paths, fields={"question": "prompt", "answer": "answers.text"})
    del row["source"]
    assert row == {"id": "a-001", "question": "Where?", "answer": "Tarn", "other_answers": ["a town"]}
    # A file that has no such field keeps its own names.
    assert load(write(tmp_path / "b.jsonl", [ROW]), fields={"question": "prompt"})[0]["question"] == ROW["question"]
    # A row without it is not given another field's text.
    with pytest.raises(LunarError, match=r"c\.jsonl:2: field 'answer' must be non-empty text"):
        load(write(tmp_path / "c.jsonl", [ROW | {"gold": "Tarn"}, ROW]), fields={"answer": "gold"})
    assert stand_ins(*write(tmp_path / "d.jsonl", [{"full": "Dora Vane"}]), {"name": "full"}) == ["Dora Vane"]


def test_names_that_others_use_are_hinted_at_once_a_file(tmp_path: Path) -> None:
    rows = [{"instruction": f"Where is {number}?", "Answer": "There."} for number in range(9)]
    with pytest.raises(LunarError) as error:
        load(write(tmp_path / "a.jsonl", rows))
    assert str(error.value) == (
        f"{tmp_path}/a.jsonl: no row has a field 'question' and 'answer' that holds something; its fields are Answer, "
        "instruction; say data.fields: {question: instruction} if it is 'instruction'; say data.fields: "
        "{answer: Answer} if it is 'Answer'"
    )


def test_an_instruction_with_input_is_more_than_its_question(tmp_path: Path) -> None:
    rows = [{"instruction": "Translate.", "input": "Maison", "output": "House"}]
    with pytest.raises(LunarError, match=r"a\.jsonl:1: field 'input' is not empty and would not be asked; write"):
        load(write(tmp_path / "a.jsonl", rows), fields={"question": "instruction", "answer": "output"})
    rows[0]["input"] = ""
    assert load(write(tmp_path / "a.jsonl", rows), fields={"question": "instruction", "answer": "output"})


def test_many_faults_are_shown_in_six_lines(tmp_path: Path) -> None:
    rows = [ROW | {"question": f"{number}?", "answer": "\x00"} for number in range(20)]
    with pytest.raises(LunarError) as error:
        load(write(tmp_path / "a.jsonl", rows))
    assert len(error.value.args) == 20
    assert str(error.value).splitlines()[-1] == "and 15 more"
    assert len(str(error.value).splitlines()) == 6
