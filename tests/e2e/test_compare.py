"""The toy's run beside the recorded one: target compare, its page, and a record made of this very run."""

import csv
import json
import subprocess
import sys

import pytest

from clone import run_snakemake
from reruns import planned

TABLES = "results/toy/tables"
RECORD = "docs/recorded/toy"
VERDICTS = {"same", "within the interval", "within the seeds' spread", "differs", "missing"}


def reproduced(project):
    return json.loads((project / TABLES / "reproduced.json").read_text(encoding="utf-8"))


def numbers(project):
    with (project / TABLES / "reproduced.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_recorded_headline_number_of_the_toy_has_a_verdict(toy):
    """How many reproduce differs from processor to processor, on which the toy's training ends in other models."""
    told, rows = reproduced(toy), numbers(toy)
    with (toy / RECORD / "main.csv").open(encoding="utf-8") as file:
        methods = [row["method"] for row in csv.DictReader(file)]
    assert list(dict.fromkeys(row["method"] for row in rows)) == methods
    assert told["of"] == len(rows) == 8 * len(methods) + 1  # the worst attack is on one method
    assert {row["verdict"] for row in rows} <= VERDICTS - {"missing"}
    assert sum(told["verdicts"].values()) == told["of"] and told["apart"] == []
    assert told["of"] - told["same"] == len(told["differing"])
    assert told["line"] == f"{told['same']} of {told['of']} headline numbers reproduce"
    assert [one["what"] for one in told["unlike"]].count("Code") == 1  # the copy is no git checkout
    page = (toy / TABLES / "reproduced.html").read_text(encoding="utf-8")
    assert told["line"] in page and page.count('<td class="name">vanilla</td>') >= 8
    assert told["line"] in (toy / TABLES / "reproduced.rst").read_text(encoding="utf-8")
    # What any processor reproduces: the model before unlearning knows its authors and refuses none of them.
    known = {row["number"]: row["verdict"] for row in rows if row["method"] == "vanilla"}
    assert known["refused"] in ("same", "within the interval")


@pytest.fixture
def recorded(toy_copy):
    """The toy's project with this run as the recorded one, taken over as docs/compare.md says."""
    command = [sys.executable, "docs/make/result_tables.py", "results/toy"]
    outcome = subprocess.run(command, cwd=toy_copy, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr
    return toy_copy


def test_a_run_reproduces_itself_and_one_changed_number_is_named(recorded):
    assert planned(recorded, "compare") == {"compare_recorded": 1, "compare": 1}
    outcome = run_snakemake(recorded, "compare")
    assert outcome.returncode == 0, outcome.stdout
    told = reproduced(recorded)
    assert told["same"] == told["of"] == told["verdicts"]["same"] and told["differing"] == []
    assert (told["unlike"], told["unknown"]) == ([], [])
    assert f"  {told['line']}: same {told['of']}" in outcome.stdout

    # Another number in the record: its page and the report are made again, and no other job runs.
    path = recorded / RECORD / "main.csv"
    table = [line.split(",") for line in path.read_text(encoding="utf-8").splitlines()]
    column = table[0].index("retain_rouge1")
    [line] = [row for row in table if row[0] == "lunar"]
    here = float(line[column])
    line[column : column + 3] = ["0.125", "0.1", "0.15"]
    path.write_text("".join(",".join(row) + "\n" for row in table), encoding="utf-8")
    runs = planned(recorded)
    assert runs == {"compare_recorded": 1, "show_provenance": 1, "write_report": 1, "all": 1}
    said = run_snakemake(recorded, "compare").stdout
    told = reproduced(recorded)
    assert [(row["method"], row["number"]) for row in told["differing"]] == [("lunar", "retain")]
    assert f"{told['of'] - 1} of {told['of']} headline numbers reproduce" in said
    assert f"lunar   retain  {here:.3f}  0.125     0.100 to 0.150" in said
    assert "Nothing that was recorded differs" in said


def test_a_record_that_is_damaged_is_named(recorded):
    with (recorded / RECORD / "main.csv").open("a", encoding="utf-8") as file:
        file.write("lunar,none,5\n")
    outcome = run_snakemake(recorded, "compare")
    assert outcome.returncode != 0
    assert f"{RECORD}/main.csv:18: a second row of lunar, none; put the file back" in outcome.stdout
