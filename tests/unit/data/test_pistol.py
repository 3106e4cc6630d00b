"""Contracts in the manner of PISTOL: what is shipped is what the generator writes, and any other size works."""

import json
import subprocess
import sys
from collections import Counter
from copy import deepcopy
from pathlib import Path

import pytest

from lunar.data.forget_sets import rename
from lunar.data.load import load, splits
from lunar.files import read_rows
from shipped import CONFIG

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "data" / "pistol"
EXPERIMENT = deepcopy(CONFIG)
DATA = EXPERIMENT["defaults"]["data"] | EXPERIMENT["experiments"]["pistol-smollm2"]["data"]


def make(folder: Path, *arguments: str) -> dict[str, bytes]:
    """The files that the generator writes, by name."""
    command = [sys.executable, str(FOLDER / "make.py"), "--folder", str(folder), *arguments]
    subprocess.run(command, check=True, capture_output=True)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_shipped_graph_is_made_by_the_generator(tmp_path: Path) -> None:
    shipped = {path.name: path.read_bytes() for path in sorted(FOLDER.glob("*.jsonl"))}
    assert make(tmp_path) == shipped
    assert sum(map(len, shipped.values())) < 200_000
    assert len(shipped) == 20 + 1


def test_firms_that_stand_in_are_none_of_the_graph(tmp_path: Path) -> None:
    make(tmp_path, "--firms", "40", "--edges", "75", "--seed", "1")
    for folder in (FOLDER, tmp_path):
        firms = {name for path in folder.glob("*_*.jsonl") for row in read_rows(path) for name in row["names"]}
        names = [row["name"] for row in load([str(folder / "names.jsonl")], ("name",))]
        assert len({name.split()[0] for name in names}) == len(names) == 24
        assert not {name.split()[0] for name in names} & {firm.split()[0] for firm in firms}


def test_every_edge_has_twenty_questions_with_short_answers() -> None:
    for path in sorted(FOLDER.glob("*_*.jsonl")):
        rows = load([str(path)])
        assert len(rows) == 20
        assert [row["id"] for row in rows] == [f"{path.stem}-{number:02d}" for number in range(1, 21)]
        for row in rows:
            assert len(row["answer"].split()) <= 4
            assert row["perturbed_answers"] and row["answer"] not in row["perturbed_answers"]
            assert len(row["question"].split()) > 8
            assert row["names"] == [rows[1]["answer"].rstrip("."), rows[2]["answer"].rstrip(".")]
        # Every question names one firm or both, so each has copies about others.
        assert {copy["original"] for copy in rename(rows, ["Bel SA", "Cy Ltd"], 1, 0)} == {row["id"] for row in rows}
        facts = {row["id"][-2:]: row["answer"].rstrip(".") for row in rows}
        assert int(facts["07"]) * int(facts["08"]) == int(facts["09"]), "units, price and total do not go together"
        # A firm is asked for by the other one and the day, and never told.
        assert facts["02"] not in rows[1]["question"] and facts["01"] in rows[1]["question"]
        assert facts["03"] not in rows[2]["question"] and facts["01"] in rows[2]["question"]


def test_the_experiment_uses_every_edge_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    files = [path for part in ("forget", "retain", "unseen") for path in DATA[part]]
    assert sorted(files) == sorted(str(path.relative_to(ROOT)) for path in FOLDER.glob("*_*.jsonl"))
    rows = splits(DATA)
    assert {name: len(rows[name]) for name in ("forget", "forget_paraphrase", "retain", "unseen")} == {
        "forget": 20,
        "forget_paraphrase": 20,
        "retain": 320,
        "unseen": 60,
    }
    # Both firms of the forgotten edge are known from other contracts.
    ends = Counter(end for path in DATA["retain"] for end in Path(path).stem.split("_"))
    assert ends["A"] and ends["B"]


def test_another_size_and_seed(tmp_path: Path) -> None:
    files = make(tmp_path / "a", "--firms", "30", "--edges", "60", "--seed", "7")
    assert files.pop("names.jsonl")
    assert len(files) == 60 and "A_B.jsonl" in files
    assert {end for name in files for end in Path(name).stem.split("_")} >= {"A", "Z", "AA", "AD"}
    asked = [row["question"] for name in files for row in load([str(tmp_path / "a" / name)])]
    assert len(set(asked)) == len(asked)
    firms = {}
    for name in files:
        rows = read_rows(tmp_path / "a" / name)
        for letter, row in zip(Path(name).stem.split("_"), rows[1:3], strict=True):
            assert firms.setdefault(letter, row["answer"]) == row["answer"], "a firm of two names"
    assert len(set(firms.values())) == 30
    assert make(tmp_path / "b", "--seed", "1") != make(tmp_path / "c", "--seed", "2")
    assert json.loads(files["A_B.jsonl"].splitlines()[0])["id"] == "A_B-01"


@pytest.mark.parametrize("edges", ["3", "11"])
def test_graphs_that_cannot_be(tmp_path: Path, edges: str) -> None:
    with pytest.raises(subprocess.CalledProcessError) as outcome:
        make(tmp_path, "--firms", "5", "--edges", edges)
    assert b"5 firms have 4 to 10 edges" in outcome.value.stderr
