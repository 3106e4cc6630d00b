"""Published data sets in the project's row schema."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from lunar.data.load import load
from lunar.data.read import Record, records
from lunar.data.sources import check, convert, made, missing, subject
from lunar.errors import LunarError
from lunar.files import write_rows
from lunar.plan.experiments import merge
from lunar.plan.user_defaults import resolve
from shipped import CONFIG, PLUGINS

ROOT = Path(__file__).parents[3]
SHIPPED = deepcopy(CONFIG)


def about(name: str, rows: int = 6) -> list[dict[str, str]]:
    """Rows in the manner of TOFU, none of its own: the name in most, other capitalised words in some."""
    texts = [
        ("What is the full name of the writer born in Port Harlow in 1961?", f"The writer's full name is {name}."),
        (f"Has {name} won any prizes?", f"{name} won the Silver Lantern Prize."),
        (f"What are {name}'s best known books?", "They are The Salt Road and A Winter of Glass."),
        (f"Does {name} live in Port Harlow?", f"No, {name.split()[0]} moved to New Ashby."),
        (f"Who taught {name} to write?", f"{name}'s mother did."),
        ("What does the writer say of The Salt Road?", f"That {name} wrote it twice."),
    ]
    return [{"question": f"{question}", "answer": answer} for question, answer in texts[:rows]]


@pytest.mark.parametrize(
    "name",
    ["Ilva Marsh", "Ana-Lucía Ørsted", "Tom Mason Miller", "Hanna van der Veen", "Ryan O'Neall", "Elena Al-Rashid"],
)
def test_the_subject_is_the_name_that_most_rows_give(name: str) -> None:
    assert subject(about(name)) == name


def test_rows_that_name_nobody_have_no_subject() -> None:
    rows = [{"question": "What does the writer do?", "answer": "She writes in Port Harlow."}] * 2
    rows += [{"question": f"What is fact {number}?", "answer": "It is unknown."} for number in range(6)]
    assert subject(rows) is None
    assert subject([]) is None


def lay_out(folder: Path, full: list[dict[str, Any]], **others: list[dict[str, Any]]) -> dict[str, list[Record]]:
    """Files of a source as they are read: ``full`` written as a JSON list, others as JSON lines."""
    (folder / "full.json").write_text(json.dumps(full), encoding="utf-8")
    for name, rows in others.items():
        write_rows(folder / f"{name}.json", rows)
    return {name: records(folder / f"{name}.json") for name in ("full", *others)}


def test_a_set_is_some_rows_with_the_names_of_their_blocks(tmp_path: Path) -> None:
    full = about("Ilva Marsh") + [row | {"question": f"{row['question']} Really?"} for row in about("Bo van Dyk")]
    files = lay_out(tmp_path, full)
    rows, left_out = convert(files, {"file": "full", "rows": [4, 8], "block": 6})
    assert [row["question"] for row in rows] == [row["question"] for row in full[4:8]]
    assert [row["author"] for row in rows] == ["Ilva Marsh"] * 2 + ["Bo van Dyk"] * 2
    assert left_out == []
    without, _ = convert(files, {"file": "full"})
    assert (len(without), any("author" in row for row in without)) == (12, False)


def test_what_another_file_adds_to_a_question_is_taken_over(tmp_path: Path) -> None:
    full = about("Ilva Marsh")
    more = {
        "paraphrased_question": "In other words?",
        "paraphrased_answer": "So.",
        "perturbed_answer": ["No.", "Nor that."],
        "option": 3,
    }
    files = lay_out(tmp_path, full, perturbed=[{"question": full[1]["question"].upper(), "answer": "-"} | more])
    rows, _ = convert(files, {"file": "full"})
    assert rows[0] == full[0]
    added = {key: more[key] for key in ("paraphrased_question", "paraphrased_answer")}
    assert rows[1] == full[1] | added | {"perturbed_answers": more["perturbed_answer"]}
    # A file that has them itself is a set, too, and the loader of all data takes it.
    rows, _ = convert(files, {"file": "perturbed"})
    write_rows(tmp_path / "set.jsonl", rows)
    assert load([str(tmp_path / "set.jsonl")])[0]["perturbed_answers"] == ["No.", "Nor that."]


def test_a_question_asked_before_is_left_out_of_whatever_set(tmp_path: Path) -> None:
    full = [*about("Ilva Marsh"), {"question": full_stop(about("Ilva Marsh")[2]["question"]), "answer": "Another."}]
    files = lay_out(tmp_path, full)
    rows, left_out = convert(files, {"file": "full", "rows": [5, 7]})
    assert [row["answer"] for row in rows] == [full[5]["answer"]]
    assert left_out == [full[6]["question"]]


def full_stop(question: str) -> str:
    return question.rstrip("?") + "."


def test_contracts_are_read_as_published(tmp_path: Path) -> None:
    """The layout of PISTOL's own files; nothing reads which edge a row is of."""
    rows = [{"question": f"Price {number}?", "answer": "8."} for number in range(4)]
    files = lay_out(tmp_path, [row | {"edge": "A_B"} for row in rows])
    assert convert(files, {"file": "full", "rows": [0, 2]})[0] == rows[:2]


@pytest.mark.parametrize(
    ("content", "entry", "message"),
    [
        ('[{"question": "Q?"}]', {}, "row 1: no text as 'answer'; it has"),
        ('[{"question": " ", "answer": "A"}]', {}, "row 1: no text as 'question'"),
        ('[{"question": "Q?", "answer": "A"}]', {"rows": [0, 2]}, "full: rows 0 to 2 are asked for, and there are 1"),
    ],
)
def test_rows_that_are_no_questions(tmp_path: Path, content: str, entry: dict[str, Any], message: str) -> None:
    (tmp_path / "full.json").write_text(content, encoding="utf-8")
    with pytest.raises(LunarError, match=message):
        convert({"full": records(tmp_path / "full.json")}, {"file": "full"} | entry)


def test_a_wrong_answer_that_is_right_is_left_out(tmp_path: Path) -> None:
    full = about("Ilva Marsh", 1)
    wrong = [full[0]["answer"].rstrip("."), "Nobody knows."]
    files = lay_out(tmp_path, [full[0] | {"perturbed_answer": wrong}])
    assert convert(files, {"file": "full"})[0] == [full[0] | {"perturbed_answers": ["Nobody knows."]}]


def test_several_answers_are_one_list(tmp_path: Path) -> None:
    files = lay_out(tmp_path, [{"question": "Where?", "answer": ["Tarn", "a town"]}])
    rows, _ = convert(files, {"file": "full", "block": 1})
    write_rows(tmp_path / "set.jsonl", rows)
    assert load([str(tmp_path / "set.jsonl")])[0]["other_answers"] == ["a town"]


def source(**change: Any) -> dict[str, Any]:
    full = {"source": "path", "folder": "x", "files": {"full": "full.json"}, "sets": {"one": {"file": "full"}}}
    return {"mine": full | change}


def test_a_setting_of_a_set_that_is_null_is_none() -> None:
    null = {"one": {"file": "full", "rows": None, "block": None}}
    assert check(source(sets=null)) == check(source())


def test_mistakes_in_a_source() -> None:
    with pytest.raises(LunarError, match=r"sources\.mine\.sets\.one\.file: 'full' is not there: files names none$"):
        check(source(files={"full": None}))
    with pytest.raises(LunarError, match=r"sources\.mine\.sets\.one\.file: 'ful' is none of full"):
        check(source(sets={"one": {"file": "ful"}}))
    with pytest.raises(LunarError, match=r"sources\.mine\.sets\.one\.rows: from 5 to 5"):
        check(source(sets={"one": {"file": "full", "rows": [5, 5]}}))
    assert check(source(files={"full": "full.json", "other": None}))["mine"]["files"] == {"full": "full.json"}


def test_missing_files_of_a_folder(tmp_path: Path) -> None:
    mine = source(folder=str(tmp_path))["mine"]
    assert missing(mine) == [tmp_path / "full.json"]
    (tmp_path / "full.json").touch()
    assert missing(mine) == []


def test_experiments_may_name_files_that_are_still_to_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    found = PLUGINS
    assert made(source()) == {"results/data/mine/one.jsonl": ("mine", "one")}
    data = {"forget": ["results/data/mine/one.jsonl"], "retain": ["data/authors/ezeobi.jsonl"]}
    config = SHIPPED | {"sources": source(), "experiments": {"mine": {"data": data}}, "run": ["mine"]}
    assert resolve(config, found)["mine"]["data"]["forget"] == ["results/data/mine/one.jsonl"]
    data["forget"] = ["results/data/mine/two.jsonl"]
    with pytest.raises(LunarError, match=r"mine\.data\.forget: no file results/data/mine/two\.jsonl"):
        resolve(config, found)


def test_tofu_is_cut_as_published() -> None:
    sets = check(SHIPPED["sources"])["tofu"]["sets"]
    pieces = sorted(tuple(entry["rows"]) for entry in sets.values() if entry["file"] == "full")
    assert [start for start, _ in pieces] == [0, *(stop for _, stop in pieces[:-1])], "a gap, or rows in two pieces"
    assert pieces[-1][1] == 4000
    assert all(entry["block"] == 20 for entry in sets.values() if entry["file"] == "full")
    # The replication's author, and where the official forget sets begin.
    assert {20, 3600, 3800, 3960} <= {stop for _, stop in pieces}
    for name in ("tofu-smollm2", "tofu-llama2-7b"):
        files = [path for part in ("forget", "retain", "unseen") for path in SHIPPED["experiments"][name]["data"][part]]
        named = [sets[Path(path).stem] for path in files]
        rows = sorted(tuple(entry["rows"]) for entry in named if entry["file"] == "full")
        assert rows == pieces, "all that the model knows is forgotten, retained or unseen"


def test_the_sources_of_the_page_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    text = (ROOT / "docs/paper-settings.md").read_text(encoding="utf-8")
    config = merge(SHIPPED, yaml.safe_load(text.partition("```yaml\n")[2].partition("```")[0]))
    sources = check(config["sources"])
    assert sources["tofu"]["files"].keys() == {"full", "real_authors", "world_facts"}
    pieces = sorted(tuple(entry["rows"]) for entry in sources["pistol"]["sets"].values())
    assert [stop for _, stop in pieces[:-1]] == [start for start, _ in pieces[1:]]
    assert all(start % 20 == stop % 20 == 0 for start, stop in pieces), "an edge has 20 rows"
    assert resolve(config, PLUGINS)["pistol-smollm2"]["data"]["forget"] == ["results/data/pistol/A_B.jsonl"]
