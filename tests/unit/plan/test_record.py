"""Which files of docs/recorded an experiment is compared with."""

from pathlib import Path

from clone import ROOT
from lunar.plan.record import record, recorded
from shipped import CONFIG


def test_files_of_a_record(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a/main.csv", "a/run.json", "a-seeds/seeds.csv", "b/seeds.csv", "b-seeds/seeds.csv", "c/run.json"):
        path = tmp_path / "recorded" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    folder = tmp_path / "recorded"
    assert record("a", folder) == {
        "main": ["recorded/a/main.csv"],
        "attacks": [],
        "run": ["recorded/a/run.json"],
        "seeds": ["recorded/a-seeds/seeds.csv"],
    }
    assert record("b", folder)["seeds"] == ["recorded/b/seeds.csv"]  # its own before another's
    assert {name: recorded(name, folder) for name in "abcd"} == {"a": True, "b": True, "c": False, "d": False}


def test_records_are_of_experiments() -> None:
    folders = {path.name for path in (ROOT / "docs/recorded").iterdir()}
    assert folders - {*CONFIG["experiments"]} == {"authors-smollm2-earlier"}  # shown in docs/ and run no more
