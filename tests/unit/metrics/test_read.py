"""Files of answers and scores that do not fit the data: file and line are named."""

import json
from pathlib import Path
from typing import Any

import pytest

from lunar.errors import LunarError
from lunar.metrics.read import gold, judged_alike, read_answers, read_attacked, read_attacks, read_parts, read_study

DATA = [{"id": f"a-{number}", "question": "Q?", "answer": "A."} for number in range(3)]
ANSWERS = [row | {"prediction": "P."} for row in DATA]


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_answers_are_read(tmp_path: Path) -> None:
    assert read_answers(write(tmp_path / "forget.jsonl", ANSWERS), DATA) == ANSWERS
    assert read_answers(write(tmp_path / "empty.jsonl", []), []) == []


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([ANSWERS[0], {"id": "a-1", "question": "Q?", "answer": "A."}], ["jsonl:2", "'prediction'", "found"]),
        ([ANSWERS[0] | {"prediction": None}], ["jsonl:1", "'prediction'", "None"]),
        ([ANSWERS[0], ANSWERS[2], ANSWERS[1]], ["jsonl:2", "'a-2'", "'a-1'"]),
        (ANSWERS[:2], ["jsonl:2", "2 rows", "3", "'a-2' is next"]),
        ([*ANSWERS, ANSWERS[0] | {"id": "a-3"}], ["jsonl:4", "4 rows", "3"]),
        ([], ["jsonl:1", "0 rows", "3"]),
        ([ANSWERS[0], 5], ["jsonl:2", "JSON object"]),
    ],
    ids=["missing field", "not text", "other ids", "too few", "too many", "empty", "no object"],
)
def test_bad_answers(tmp_path: Path, rows: list[Any], words: list[str]) -> None:
    path = write(tmp_path / "forget.jsonl", rows)
    with pytest.raises(LunarError) as error:
        read_answers(path, DATA)
    assert all(word in str(error.value) for word in [str(path), *words]), error.value


@pytest.mark.parametrize(
    ("line", "words"),
    [(b'{"id": "a-\xff"}', [":2", "UTF-8"]), (b'{"id": ', [":2", "not JSON"])],
)
def test_answers_that_cannot_be_parsed(tmp_path: Path, line: bytes, words: list[str]) -> None:
    path = tmp_path / "forget.jsonl"
    path.write_bytes(json.dumps(ANSWERS[0]).encode() + b"\n" + line + b"\n")
    with pytest.raises(LunarError) as error:
        read_answers(path, DATA)
    assert all(word in str(error.value) for word in [str(path), *words])


SCORES = [{"split": split, "id": row["id"], "similarity": 0.5} for split in ("forget", "retain") for row in DATA]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([SCORES[0] | {"split": "forgot"}], ["jsonl:1", "'forgot'", "forget, retain"]),
        ([SCORES[0], {"split": "forget", "id": "a-1"}], ["jsonl:2", "'similarity' is missing"]),
        ([*SCORES[:4], SCORES[5], SCORES[4]], ["jsonl:5", "'a-2'", "'a-1'"]),
        (SCORES[:5], ["jsonl:5", "2 rows", "3"]),
    ],
    ids=["split", "field", "ids", "count"],
)
def test_bad_scores(tmp_path: Path, rows: list[Any], words: list[str]) -> None:
    path = write(tmp_path / "none.jsonl", rows)
    with pytest.raises(LunarError) as error:
        read_parts(path, {"forget": DATA, "retain": DATA}, ("similarity",))
    assert all(word in str(error.value) for word in [str(path), *words]), error.value


def test_study_joins_by_id_and_leaves_out_what_has_no_gold_answer(tmp_path: Path) -> None:
    data = {"forget": [DATA[0], DATA[1] | {"answer": ""}, DATA[2]]}
    assert [row["id"] for row in gold(data["forget"])] == ["a-0", "a-2"]
    answers = [row | {"answer": one["answer"]} for row, one in zip(ANSWERS, data["forget"], strict=True)]
    numbers = {"answer": {}, "paraphrased": None, "wrong": [], "perturbed": []}
    scored = [{"split": "forget", "id": row["id"], "mark": row["id"]} | numbers for row in (DATA[0], DATA[2])]
    study = read_study(
        data,
        {"forget": write(tmp_path / "forget.jsonl", answers)},
        write(tmp_path / "likelihood.jsonl", scored),
        write(tmp_path / "similarity.jsonl", SCORES[:3]),
    )
    assert [row["likelihood"] and row["likelihood"]["mark"] for row in study["forget"]] == ["a-0", None, "a-2"]
    assert [row["similarity"] for row in study["forget"]] == [0.5] * 3


LONG = [{"id": f"a-{number}", "question": "Q?", "answer": f"The answer is {number}."} for number in range(4)]


def said(numbers: list[int], prediction: str | None = "P.", **changes: Any) -> list[dict[str, Any]]:
    return [LONG[number] | {"prediction": prediction} | changes for number in numbers]


def test_an_attack_may_ask_a_part_in_other_words() -> None:
    rows = [row | {"question": "Please, Q?", "answer": f"is {row['id'][-1]}.", "of": 8} for row in said([1, 3])]
    assert read_attacked("attacks.jsonl: typos", rows, LONG) == rows


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], ["jsonl:1", "no rows"]),
        (said([3, 1]), ["jsonl:2", "'a-1'", "not in its order"]),
        (said([1, 1]), ["jsonl:2", "'a-1'"]),
        (said([0], id="b-0"), ["jsonl:1", "'b-0'"]),
        (said([0], answer="The answer is 1."), ["jsonl:1", "'The answer is 1.'", "not the end", "'The answer is 0.'"]),
        (said([0], answer=" "), ["jsonl:1", "not the end"]),
        (said([0], prediction=None), ["jsonl:1", "'prediction'"]),
    ],
    ids=["empty", "order", "twice", "other id", "other answer", "no answer", "not text"],
)
def test_bad_answers_under_attack(rows: list[Any], words: list[str]) -> None:
    with pytest.raises(LunarError) as error:
        read_attacked("attacks/lunar.jsonl", rows, LONG)
    assert all(word in str(error.value) for word in ["attacks/lunar.jsonl", *words]), error.value


def test_a_file_of_attacks_holds_just_those_that_were_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "lunar.jsonl", [{"part": "typos", "curve": []}, {"part": "quiz", "curve": []}])
    assert list(read_attacks(path, ["quiz", "typos"])) == ["quiz", "typos"]
    for asked in (["quiz"], ["quiz", "typos", "blind"]):
        with pytest.raises(LunarError, match=r"lunar\.jsonl: holds the attacks \['quiz', 'typos'\], not"):
            read_attacks(path, asked)


def test_an_attack_is_compared_on_its_own_rows() -> None:
    rest = [row | {"answer": "is 2."} for row in said([2], "attacked")]
    assert judged_alike(said([0, 1, 2, 3], "alone"), rest) == said([2], "alone", answer="is 2.")


def test_other_gold_answers_come_from_the_data(tmp_path: Path) -> None:
    data = [row | {"other_answers": ["B."]} for row in DATA]
    answers = read_answers(write(tmp_path / "forget.jsonl", ANSWERS), data)
    assert [row["other_answers"] for row in answers] == [["B."]] * 3
    # A beginning that an attack gives away is that of the gold answer, so what is left has no others beside it.
    data = [one | {"answer": "A. 塔恩"} for one in data]
    rows = [ANSWERS[0] | {"answer": "A. 塔恩"}, ANSWERS[1] | {"answer": "恩"}]
    attacked = read_attacked("attacked", rows, data)
    for found in (attacked, judged_alike(answers, attacked)):
        assert [row.get("other_answers") for row in found] == [["B."], None]
