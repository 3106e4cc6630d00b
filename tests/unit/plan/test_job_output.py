"""What jobs print is kept apart from the terminal, and a failed job's log is told in its own words."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lunar.plan.job_output import KILLED, ending, last_line

SCRIPTS = Path(__file__).parents[3] / "scripts"
ENDINGS = {
    "mistake": ("22:01:07 forget 6\n22:01:07 error: a.jsonl:3: no b\n  c too\n", "error: a.jsonl:3: no b\n  c too"),
    "defect": ("22:01:07 Traceback\n  x\n22:01:08 failed: x (traceback in y)\n", "failed: x (traceback in y)"),
    "interrupted": ("22:01:07 interrupted\n", "interrupted"),
    "killed": ("22:01:07 forget 6\n22:01:09 answers [##  ] 2/40, about 4 s left\n", KILLED),
    "killed at once": ("", KILLED),
    "another Snakemake": (
        "Building DAG of jobs...\n\na\nb\nc\nWorkflowError:\nno d\n",
        "a\nb\nc\nWorkflowError:\nno d",
    ),
    "no output": ("22:01:07 done in 2 s\n", "its script ended well; Snakemake says above what is amiss"),
}


@pytest.mark.parametrize("name", ENDINGS)
def test_a_failed_jobs_log_is_told_by_its_end(tmp_path: Path, name: str) -> None:
    text, expected = ENDINGS[name]
    (tmp_path / "job.log").write_text(text, encoding="utf-8")
    assert ending(tmp_path / "job.log") == expected


def test_a_job_without_a_log_did_not_start(tmp_path: Path) -> None:
    assert ending(tmp_path / "none.log") == ""


def test_the_last_line_of_a_log_is_what_a_job_is_at(tmp_path: Path) -> None:
    log = tmp_path / "job.log"
    assert last_line(None) == last_line(log) == ""
    log.write_text("", encoding="utf-8")
    assert last_line(log) == ""
    log.write_text("22:01:07 first\n" * 100 + "22:01:09 epoch 3/60\n", encoding="utf-8")
    assert last_line(log) == "epoch 3/60"


BODY = """
import subprocess, sys
from pathlib import Path
from lunar.plan.job_output import Printed
print("before", flush=True)
printed = Printed(Path(sys.argv[1]))
print("kept", flush=True)
subprocess.run(["sh", "-c", "echo from a job >&2; printf 'half a'"])
first = printed.lines()
printed.pause()
print("while paused", flush=True)
printed.resume()
subprocess.run(["echo", " line"])
second = printed.lines()
printed.close()
print(first, second, "after", flush=True)
"""


def test_what_jobs_print_goes_to_a_file(tmp_path: Path) -> None:
    # In a process of its own: pytest has other ideas about standard output.
    environment = os.environ | {"PYTHONPATH": str(SCRIPTS)}
    command = [sys.executable, "-c", BODY, str(tmp_path / "jobs.log")]
    said = subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout.splitlines()
    assert said == ["before", "while paused", "['kept', 'from a job'] ['half a line'] after"]
    assert (tmp_path / "jobs.log").read_text(encoding="utf-8") == "kept\nfrom a job\nhalf a line\n"


NOTHING = """
import sys
from pathlib import Path
from lunar.plan.job_output import Printed
Printed(Path(sys.argv[1])).close()
"""


def test_a_file_in_which_nothing_is_goes(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(SCRIPTS)}
    subprocess.run([sys.executable, "-c", NOTHING, str(tmp_path / "jobs.log")], env=environment, check=True)
    assert not (tmp_path / "jobs.log").exists()
