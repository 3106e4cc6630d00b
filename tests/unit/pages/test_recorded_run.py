"""What a recorded run was made with, and in what another is unlike it."""

import json
import sys
from pathlib import Path

import pytest

from clone import ROOT
from lunar.errors import LunarError
from lunar.pages.recorded_run import MACHINE, differences, facts, flat, read_run

HERE = {
    "machine": {name: f"this {name}" for name in MACHINE} | {"Memory": "8 GB"},
    "versions": {"torch": "2.13.0+cpu", "pandas": "3.1.1"},
    "settings": {"seed": 0, "finetune": {"epochs": 6}, "compare": ["vanilla", "npo"], "ladder": None},
}


def test_a_run_is_not_unlike_itself() -> None:
    assert differences(HERE, json.loads(json.dumps(HERE))) == ([], [])


def test_what_is_unlike_is_told_with_both_values() -> None:
    recorded = {
        "machine": HERE["machine"] | {"Processor": "another", "Memory": "4 GB"},
        "versions": {"torch": "2.13.0", "pandas": "3.0.0"},
        "settings": {"seed": 0, "finetune": {"epochs": 8, "batch_size": 4}, "compare": ["vanilla", "npo"]},
    }
    found, unknown = differences(HERE, recorded)
    assert [tuple(one) for one in found] == [
        ("Processor", "this Processor", "another"),
        ("pandas", "3.1.1", "3.0.0"),  # and not torch: a build of the same version
        ("finetune.batch_size", "not set", "4"),
        ("finetune.epochs", "6", "8"),
    ]
    assert unknown == []


def test_what_was_not_recorded_is_no_difference() -> None:
    found, unknown = differences(HERE, {"machine": {"Code": "this Code"}, "versions": None, "settings": None})
    assert found == []
    assert unknown == ["Processor", "Instruction sets", "GPU", "Python", "versions of packages", "settings"]
    assert differences(HERE, read_run())[1] == [*MACHINE, "versions of packages", "settings"]


def test_values_have_dotted_keys_and_null_is_none() -> None:
    assert dict(flat(HERE["settings"])) == {"seed": 0, "finetune.epochs": 6, "compare": ["vanilla", "npo"]}


def test_facts_of_this_run() -> None:
    found = facts({"seed": 0}, ROOT / "requirements.txt", None, ROOT)
    assert found["settings"] == {"seed": 0} and found["versions"]["pandas"] == __import__("pandas").__version__
    assert {"torch", "snakemake"} <= {*found["versions"]} and not {"pytest", "ruff"} & {*found["versions"]}
    assert {*MACHINE} <= {*found["machine"]}
    assert found["machine"]["Python"] == ".".join(map(str, sys.version_info[:3]))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "run.json: no JSON"),
        ("[]", "run.json: machine has to hold named values"),
        ('{"machine": null, "versions": null}', "run.json: settings has to hold"),
        ('{"machine": "EPYC", "versions": null, "settings": null}', "run.json: machine has to hold"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "run.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(LunarError, match=said):
        read_run(path)


def test_every_record_says_what_is_known_of_its_run() -> None:
    folders = sorted(path for path in (ROOT / "docs/recorded").iterdir() if path.is_dir())
    assert folders
    for folder in folders:
        assert read_run(folder / "run.json")["date"].startswith("20"), folder
