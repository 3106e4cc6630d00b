"""The examples of data/README.md are read as it says."""

import re
from pathlib import Path

import yaml

from lunar.data.load import load
from lunar.plan.sections import Data

PAGE = (Path(__file__).parents[3] / "data/README.md").read_text(encoding="utf-8").partition("## Your own rows")[2]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


def rows(path: Path, text: str) -> list[dict]:
    path.write_text(text, encoding="utf-8")
    return [{key: value for key, value in row.items() if key != "source"} for row in load([str(path)])]


def test_the_examples_are_read(tmp_path: Path) -> None:
    [table], [document], [chat, several] = blocks("csv"), blocks("json"), blocks("jsonl")
    found = rows(tmp_path / "forget.csv", table)
    assert found == rows(tmp_path / "forget.json", document)
    assert [row["answer"] for row in found] == ["In Tarn, by the lake.", "1955"]
    assert found[1]["perturbed_answers"] == ["1954", "1956"]
    [row] = rows(tmp_path / "forget.jsonl", chat)
    assert row == {key: found[0][key] for key in ("id", "question", "answer")}
    [row] = rows(tmp_path / "forget.jsonl", several)
    assert (row["answer"], row["other_answers"]) == ("Tarn", ["the town of Tarn"])


def test_the_fields_are_a_valid_setting() -> None:
    [section] = blocks("yaml")
    others = dict.fromkeys(("general", "harmful", "fictitious", "refusals", "names"), "a.jsonl")
    assert Data.model_validate(yaml.safe_load(section)["data"] | others | {"unseen": []}).fields["question"] == "prompt"
