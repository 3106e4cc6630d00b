"""What is kept of a run that becomes the recorded one."""

import json
from pathlib import Path

import pytest

import result_tables
from lunar.pages.recorded_run import read_run
from recorded_run import facts

MADE_WITH = {
    "date": "2026-11-30",
    "machine": {"Processor": "AMD EPYC, 2 cores"},
    "versions": {"pandas": "3.1.1"},
    "settings": {"model": {"folder": "/home/me/models/mine"}, "data": {"forget": ["data/a.jsonl", "~/b.jsonl"]}},
}


def run(folder: Path) -> Path:
    tables = folder / "results/mine/tables"
    tables.mkdir(parents=True)
    (tables / "provenance.json").write_text(json.dumps(MADE_WITH), encoding="utf-8")
    (tables / "main.csv").write_text("method,attack,ds\nnpo,none,1.5\n", encoding="utf-8")
    (tables / "cost.csv").write_text("method,seconds\nnpo,1.5\n", encoding="utf-8")
    return tables.parent


def test_a_run_is_recorded_with_what_it_was_made_with_and_without_paths_of_the_machine(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text(facts(run(tmp_path), "A sentence."), encoding="utf-8")
    found = read_run(path)
    assert (found["date"], found["note"], found["machine"]) == ("2026-11-30", "A sentence.", MADE_WITH["machine"])
    assert found["settings"] == {"model": {"folder": "mine"}, "data": {"forget": ["data/a.jsonl", "b.jsonl"]}}


def test_a_run_without_its_provenance_is_not_taken_over(tmp_path: Path, monkeypatch) -> None:
    folder = run(tmp_path)
    (folder / "tables/provenance.json").unlink()
    monkeypatch.setattr(result_tables, "RECORDED", tmp_path / "recorded")
    monkeypatch.setattr("sys.argv", ["result_tables.py", str(folder)])
    with pytest.raises(SystemExit, match=r"provenance.json: not there; finish the run"):
        result_tables.main()
    assert not (tmp_path / "recorded").exists()


def test_tables_are_taken_over(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "recorded").mkdir()
    monkeypatch.setattr(result_tables, "RECORDED", tmp_path / "recorded")
    monkeypatch.setattr(result_tables, "PAGES", ())
    monkeypatch.setattr("sys.argv", ["result_tables.py", str(run(tmp_path))])
    result_tables.main()
    made = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "recorded/mine").iterdir()}
    assert set(made) == {"main.csv", "run.json"} and made["main.csv"].endswith("npo,none,1.5\n")
