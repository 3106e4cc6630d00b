"""Crates of runs: what is in them, and what the Provenance Run Crate profile demands (version 0.5)."""

import hashlib
import json
import zipfile
from pathlib import Path

import pytest
from rocrate.rocrate import ROCrate

from lunar.pages import crate
from lunar.plan.snakemake_files import Record

ROOT = Path(__file__).parents[3]
VERSIONS = {"Snakemake": "9.27.1", "Python": "3.11.7"}


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Record]:
    """Three jobs of two rules; one of their files is large, one a folder, and one was deleted."""
    monkeypatch.chdir(tmp_path)
    for name, text in {"data/rows.jsonl": "{}\n", "results/toy/a.csv": "1\n", "results/toy/b.csv": "2\n"}.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text, encoding="utf-8")
    Path("results/toy/models/full").mkdir(parents=True)
    Path("results/toy/models/full/model.safetensors").write_bytes(b"weights")
    Path("results/toy/edit.safetensors").write_bytes(bytes(crate.LARGEST + 1))
    return [
        Record("finetune", "logs/full.log", ["data/rows.jsonl"], ["results/toy/models/full"], 1.0e9, 1.0e9 + 5),
        Record("tabulate", "logs/a.log", ["results/toy/models/full"], ["results/toy/a.csv"], 1.0e9 + 6, 1.0e9 + 7),
        Record(
            "tabulate",
            "logs/b.log",
            ["results/toy/edit.safetensors", "results/toy/gone.csv"],
            ["results/toy/b.csv"],
            1.0e9 + 8,
            1.0e9 + 9,
        ),
    ]


@pytest.fixture
def told(jobs: list[Record], tmp_path: Path) -> ROCrate:
    """The crate, as another program unpacks and reads it."""
    agent = {"name": "Ann", "orcid": "https://orcid.org/0000-0002-1825-0097"}
    held = crate.write("crate.zip", ROOT, "toy", jobs, ["LICENSE", "rules/crate.smk"], VERSIONS, agent)
    with zipfile.ZipFile("crate.zip") as file:
        file.extractall(tmp_path / "crate")
        assert held == len(file.namelist()) - 1  # all but the metadata
    return ROCrate(tmp_path / "crate")


def of_type(told: ROCrate, name: str) -> list:
    return [one for one in told.get_entities() if name in (one.type if isinstance(one.type, list) else [one.type])]


def test_files_are_in_it_up_to_a_size(told: ROCrate, tmp_path: Path) -> None:
    files = {one.id for one in of_type(told, "File")}
    assert files == {
        *("Snakefile", "LICENSE", "rules/crate.smk", "data/rows.jsonl", "results/toy/a.csv", "results/toy/b.csv")
    }
    assert all((tmp_path / "crate" / name).is_file() for name in files)
    large, folder = told.get("#results/toy/edit.safetensors"), told.get("#results/toy/models/full")
    assert large["contentSize"] == crate.LARGEST + 1
    assert hashlib.sha256(b"weights").hexdigest() in folder["description"]
    assert told.get("#results/toy/gone.csv").type == "CreativeWork"


def test_every_job_is_an_action(told: ROCrate) -> None:
    first, _, last = (told.get(f"#job-{number}") for number in range(3))
    assert first["instrument"].id == "#rule-finetune"
    assert [one.id for one in first["object"]] == ["data/rows.jsonl"]
    assert [one.id for one in first["result"]] == ["#results/toy/models/full"]
    assert first["startTime"] == "2001-09-09T01:46:40+00:00"
    assert last["agent"]["name"] == "Ann"


def test_what_the_profile_demands(told: ROCrate) -> None:
    workflow = told.mainEntity
    assert {"File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"} == {*workflow.type}
    assert workflow["programmingLanguage"]["name"] == "Snakemake"
    assert {one.id for one in told.root_dataset["conformsTo"]} == {*crate.PROFILES}
    steps, controls = of_type(told, "HowToStep"), of_type(told, "ControlAction")
    assert workflow["step"] == steps
    assert [one["workExample"] for one in steps] == workflow["hasPart"]
    assert [one["instrument"] for one in controls] == steps
    jobs = [one for control in controls for one in control["object"]]
    assert {one.id for one in jobs} == {"#job-0", "#job-1", "#job-2"}
    [organised] = of_type(told, "OrganizeAction")
    [run] = told.root_dataset["mentions"]
    assert organised["object"] == controls
    assert organised["result"] == run
    assert run["instrument"] == workflow
    assert {one.id for one in run["object"]} == {
        *("data/rows.jsonl", "#results/toy/edit.safetensors", "#results/toy/gone.csv")
    }


def test_nobody_is_named_unless_asked(jobs: list[Record]) -> None:
    crate.write("crate.zip", ROOT, "toy", jobs, [], VERSIONS, {"name": None, "orcid": None})
    with zipfile.ZipFile("crate.zip") as file:
        graph = json.loads(file.read("ro-crate-metadata.json"))["@graph"]
    assert not [one for one in graph if "agent" in one or one["@type"] == "Person"]
