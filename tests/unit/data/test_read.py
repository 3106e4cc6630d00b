"""Files as people have them: the same rows in every form give the same splits, and what cannot be read says why."""

import csv
import gzip
import io
import json
import pickle
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from lunar.data.files import absent, inside, named
from lunar.data.load import load, stem
from lunar.data.read import records
from lunar.errors import LunarError

Rows = list[dict[str, Any]]
# Values that readers of tables like to turn into something else, and text that is hard to write into a table.
ANSWERS = ("007", "NA", "None", "nan", "true", "1955", "1e5", 'Zoë, «the 3rd»;\tof "Tarn"\nand Ørsted 🙂')
EIGHT: Rows = [
    {
        "question": f"What is fact {number} of Zoë Moor?",
        "answer": answer,
        "author": "Zoë Moor",
        "perturbed_answers": [f"wrong {number}", "wrong, too"],
    }
    for number, answer in enumerate(ANSWERS, start=1)
]
del EIGHT[3]["author"]
EIGHT[5] |= {"paraphrased_answer": "In 1955."}
COLUMNS = ("question", "answer", "author", "perturbed_answers", "paraphrased_answer")


def lines(rows: Rows) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def table(rows: Rows, delimiter: str = ",", end: str = "\n") -> str:
    file = io.StringIO()
    writer = csv.writer(file, delimiter=delimiter, lineterminator=end)
    writer.writerow(COLUMNS)
    for row in rows:
        cells = row | {"perturbed_answers": json.dumps(row["perturbed_answers"])}
        writer.writerow([cells.get(name, "") for name in COLUMNS])
    return file.getvalue()


FORMS = {
    "jsonl": lambda rows: lines(rows).encode(),
    "raw.jsonl": lambda rows: "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode(),
    "bom.jsonl": lambda rows: b"\xef\xbb\xbf" + lines(rows).encode(),
    "crlf.jsonl": lambda rows: lines(rows).replace("\n", "\r\n").encode(),
    "cr.jsonl": lambda rows: lines(rows).replace("\n", "\r").encode(),
    "utf16.jsonl": lambda rows: lines(rows).encode("utf-16"),
    "utf16le.jsonl": lambda rows: lines(rows).encode("utf-16-le"),
    "jsonl.gz": lambda rows: gzip.compress(lines(rows).encode()),
    "json": lambda rows: json.dumps(rows).encode(),
    "pretty.json": lambda rows: json.dumps(rows, indent=1, ensure_ascii=False).encode("utf-8-sig"),
    "key.json": lambda rows: json.dumps({"version": "1.0", "data": rows}).encode(),
    "csv": lambda rows: table(rows).encode(),
    "bom.csv": lambda rows: table(rows).encode("utf-8-sig"),
    "crlf.csv": lambda rows: table(rows, end="\r\n").encode(),
    "semicolon.csv": lambda rows: table(rows, ";").encode(),
    "utf16.csv": lambda rows: table(rows).encode("utf-16"),
    "csv.gz": lambda rows: gzip.compress(table(rows).encode()),
    "tsv": lambda rows: table(rows, "\t").encode(),
}


def parquet(rows: Rows) -> pyarrow.Table:
    return pyarrow.table({name: [row.get(name) for row in rows] for name in COLUMNS})


@pytest.mark.parametrize("form", FORMS)
def test_eight_rows_are_the_same_in_every_form(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"forget.{form.split('.', 1)[-1] if not form.endswith('.gz') else form}"
    path.write_bytes(FORMS[form](EIGHT))
    check_eight(path)


def check_eight(path: Path) -> None:
    """The very bytes that the data step writes."""
    found = [{key: value for key, value in row.items() if key != "source"} for row in load([str(path)])]
    expected = [{"id": f"forget-{number:03d}"} | row for number, row in enumerate(EIGHT, start=1)]
    assert lines(found) == lines(expected)


def test_eight_rows_are_the_same_in_parquet(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(parquet(EIGHT), tmp_path / "forget.parquet")
    check_eight(tmp_path / "forget.parquet")


def test_eight_rows_are_the_same_as_a_saved_data_set(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset(parquet(EIGHT))
    rows.save_to_disk(tmp_path / "forget")
    check_eight(tmp_path / "forget")
    assert load([str(tmp_path / "forget")])[2]["source"] == f"{tmp_path / 'forget'}: row 3"
    assert {Path(path).name for path in inside(str(tmp_path / "forget"))} >= {"state.json", "dataset_info.json"}
    # Of several splits one has to be named.
    datasets.DatasetDict({"train": rows, "test": rows}).save_to_disk(tmp_path / "both")
    said = absent(str(tmp_path / "both"))
    assert said and said.endswith(f"name one of them: {tmp_path}/both/test, {tmp_path}/both/train")
    assert len(load([str(tmp_path / "both/train")])) == 8
    with pytest.raises(LunarError, match="a folder of several splits"):
        load([str(tmp_path / "both")])
    # A damaged one is named, not traced.
    next((tmp_path / "forget").glob("*.arrow")).write_bytes(b"half")
    with pytest.raises(LunarError, match="forget: a saved data set that cannot be read"):
        load([str(tmp_path / "forget")])


def test_labels_are_their_names(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    features = {"question": datasets.Value("string"), "answer": datasets.ClassLabel(names=["Cork", "Tarn"])}
    rows = datasets.Dataset.from_dict({"question": ["Where?"], "answer": [1]}, datasets.Features(features))
    rows.to_parquet(tmp_path / "rows.parquet")
    rows.save_to_disk(tmp_path / "rows")
    for name in ("rows.parquet", "rows"):
        assert load([str(tmp_path / name)])[0]["answer"] == "Tarn"


@pytest.mark.parametrize(("written", "text"), [("1955", "1955"), ("19.50", "19.50"), ("1e5", "1e5"), ("-0", "-0")])
def test_a_number_for_an_answer_is_the_text_that_is_there(tmp_path: Path, written: str, text: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(f'{{"id": 7, "question": "When?", "answer": {written}}}\n', encoding="utf-8")
    assert [(row["id"], row["answer"]) for row in load([str(path)])] == [("7", text)]
    pyarrow.parquet.write_table(pyarrow.table({"question": ["When?"], "answer": [1955]}), tmp_path / "rows.parquet")
    assert load([str(tmp_path / "rows.parquet")])[0]["answer"] == "1955"


def test_a_number_whose_text_is_not_known_is_refused(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(pyarrow.table({"question": ["When?"], "answer": [1955.0]}), tmp_path / "rows.parquet")
    with pytest.raises(LunarError, match=r"row 1: field 'answer' must be .*; it is 1955\.0; write it in quotes"):
        load([str(tmp_path / "rows.parquet")])


def test_one_row_alone_and_lines_of_cells(tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text('\n{"question": "Q?",\n "answer": "A"}\n', encoding="utf-8")
    assert records(tmp_path / "one.json") == [(f"{tmp_path}/one.json:2", 1, {"question": "Q?", "answer": "A"})]
    (tmp_path / "two.csv").write_text('question,answer\n"Q\n1?",A\n\n,\nQ2?,B\n', encoding="utf-8")
    found = records(tmp_path / "two.csv")
    assert [(place.rsplit(":", 1)[1], number, row["answer"]) for place, number, row in found] == [
        ("2", 1, "A"),
        ("6", 2, "B"),
    ]


ROW = '{"question": "Q?", "answer": "A"}'


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b"", "a.jsonl: holds no rows"),
        ("a.jsonl", b"\n \n", "a.jsonl: holds no rows"),
        ("a.json", b"[]", "a.json: holds no rows"),
        ("a.csv", b"question,answer\n", "a.csv: holds no rows"),
        (
            "a.jsonl",
            f"{ROW}\n{ROW[:-3]}".encode(),
            "a.jsonl:2: not JSON (Unterminated string starting at at column 30)",
        ),
        (
            "a.json",
            f"[{ROW},\n{ROW}".encode(),
            "a.json:2: not JSON (Expecting ',' delimiter at column 34); is the file",
        ),
        ("a.jsonl", f'{ROW}\n{{"question": "Q\\ud83'.encode(), "a.jsonl:2: not JSON"),
        ("a.jsonl", b"[" * 100_000, "a.jsonl:1: not JSON (nested too deep)"),
        (
            "a.jsonl",
            b'{"question": "Q?", "question": "R?", "answer": "A"}',
            "a.jsonl:1: field 'question' is there twice",
        ),
        ("a.json", json.dumps({"data": [1]}, indent=1)[:-3].encode(), "a.json:4: not JSON (Expecting ',' delimiter"),
        ("a.json", f"[{ROW}, 5]".encode(), "a.json: row 2: expected a JSON object with named fields, got '5'"),
        ("a.jsonl", f"{ROW}\n[1]".encode(), "a.jsonl:2: expected a JSON object with named fields, got '[1]'"),
        ("a.json", b'{"a": [{"b": 1}], "c": [{"d": 1}]}', "a.json: has lists of rows under a, c; write one"),
        ("a.json", b'{"question": ["Q?"], "answer": ["A"]}', "a.json: holds columns, not rows; write it with to_json"),
        ("a.json", b"question: Q?", "a.json:1: not JSON: it begins with 'question: Q?'; wanted is a JSON list, "),
        ("a.jsonl", "Où?".encode("latin-1"), "a.jsonl:1: not UTF-8 at byte 1 of the line; save the file as UTF-8"),
        ("a.csv", "question,answer\nQ?,\xe9".encode("latin-1"), "a.csv:2: not UTF-8 at byte 3 of the line"),
        ("a.csv", b"question,answer\nQ?,A,B\n", "a.csv:2: 3 cells under 2 names; quote cells that have ','"),
        ("a.csv", b'question,answer\nQ?,"A\n', "a.csv:2: not CSV (unexpected end of data); is a quotation mark open?"),
        ("a.csv", b"answer,answer\nA,B\n", "a.csv:1: column 'answer' is there twice"),
        ("a.parquet", b"PAR1 and no more", "a.parquet: a Parquet file that cannot be read ("),
        ("a.jsonl.gz", gzip.compress(b"x" * 999, mtime=0)[:-9], "a.jsonl.gz: cannot be read (damaged gzip)"),
        (
            "a.jsonl",
            b"version https://git-lfs.github.com/spec/v1\n",
            "a.jsonl: is a pointer of Git LFS and not the data",
        ),
        ("a.jsonl.zst", b"(\xb5/\xfd...", "a.jsonl.zst: is compressed otherwise than by gzip; unpack it"),
        ("a.xlsx", b"PK\x03\x04...", "a.xlsx: is a spreadsheet or an archive; save it as CSV"),
        ("a.pkl", pickle.dumps([1]), "a.pkl: is pickled or otherwise binary, which is never loaded"),
        ("a.json", b"<!doctype html>", "a.json: is a page of HTML or XML and not the data"),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(LunarError) as error:
        records(tmp_path / name)
    assert str(error.value).startswith(f"{tmp_path}/{message}")
    assert len(str(error.value).splitlines()) == 1


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(LunarError, match=r"none\.jsonl: cannot be read \(No such file or directory\)"):
        records(tmp_path / "none.jsonl")
    with pytest.raises(LunarError, match="but a folder that `datasets` did not save; name a file in it"):
        records(tmp_path)


def test_every_bad_line_is_told_and_the_rest_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("\n".join(["{", ROW, "5"] * 4), encoding="utf-8")
    faults: list[str] = []
    assert len(records(tmp_path / "a.jsonl", faults)) == 4
    assert [int(fault.split(":")[1]) for fault in faults] == [1, 3, 4, 6, 7, 9, 10, 12]
    with pytest.raises(LunarError) as error:
        records(tmp_path / "a.jsonl")
    assert str(error.value).splitlines()[5:] == ["and 3 more"]


def test_a_section_names_files_and_fields() -> None:
    section = {"forget": ["a", "b"], "general": "c", "fields": {"question": "prompt"}}
    assert named(section) == [("forget", "a"), ("forget", "b"), ("general", "c")]
    assert [stem(path) for path in ("x/a.b.jsonl", "a.csv.gz", "x/train")] == ["a.b", "a", "train"]
