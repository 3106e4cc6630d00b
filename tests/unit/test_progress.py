"""What reaches the terminal and what the log, and how a script ends."""

import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lunar import progress
from lunar.errors import LunarError
from lunar.progress import Progress, script

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A log file; what ``script`` changes of the process is undone."""
    monkeypatch.setattr(os, "environ", os.environ.copy())
    yield tmp_path / "logs" / "job.log"
    logging.captureWarnings(False)


def messages(log: Path) -> list[str]:
    """The log's lines without their times."""
    lines = log.read_text(encoding="utf-8").splitlines()
    assert all(re.match(r"\d\d:\d\d:\d\d ", line) for line in lines)
    return [line[9:] for line in lines]


def test_log_gets_every_line_and_the_screen_those_for_it(log: Path, capsys: pytest.CaptureFixture) -> None:
    job = Progress("toy fit", log)
    job.say("first é")
    job.say("second", screen=False)
    assert messages(log) == ["first é", "second"]
    out, err = capsys.readouterr()
    # Standard output belongs to results.
    assert (out, err) == ("", "  toy fit | first é\n")


def test_log_starts_anew_with_each_job(log: Path) -> None:
    Progress("a", log).say("old")
    Progress("a", log).say("new")
    assert messages(log) == ["new"]


def test_bar_logs_every_step_but_spares_the_screen(log: Path, capsys: pytest.CaptureFixture) -> None:
    update = Progress("a", log).bar("answers", 4)
    for done in range(1, 5):
        update(done)
    lines = messages(log)
    assert [re.search(r"\d+/\d+", line)[0] for line in lines] == ["1/4", "2/4", "3/4", "4/4"]
    assert [line.count("#") for line in lines] == [6, 12, 18, 24]
    assert {len(line.split("[")[1].split("]")[0]) for line in lines} == {24}
    assert capsys.readouterr().err == ""


def test_bar_shows_on_the_screen_when_it_is_due(
    log: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SCREEN_SECONDS", 0.0)
    update = Progress("a", log).bar("answers", 2)
    update(1)
    update(2)
    # Not the last one: the message that follows says that the work is done.
    assert re.findall(r"\d/\d", capsys.readouterr().err) == ["1/2"]


def test_bar_over_nothing(log: Path) -> None:
    Progress("a", log).bar("answers", 0)(0)
    assert "0/0" in messages(log)[0]


def test_script_says_that_it_is_done(log: Path, capsys: pytest.CaptureFixture) -> None:
    with script("toy fit", log) as job:
        job.say("working")
    assert messages(log)[0] == "working"
    assert re.fullmatch(r"done in \d+ s", messages(log)[1])
    assert capsys.readouterr().err.splitlines()[0] == "  toy fit | working"


def test_lunar_error_ends_in_its_message_alone(log: Path, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as end, script("toy fit", log):
        raise LunarError("data.jsonl:3: not JSON")
    assert end.value.code == 1
    assert capsys.readouterr().err == "  toy fit | error: data.jsonl:3: not JSON\n"
    assert messages(log) == ["error: data.jsonl:3: not JSON"]


def fail_with_a_cause() -> None:
    try:
        {}["inner"]
    except KeyError as error:
        raise ValueError("outer") from error


def test_defect_leaves_its_traceback_in_the_log(log: Path, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as end, script("toy fit", log):
        fail_with_a_cause()
    assert end.value.code == 1
    text = log.read_text(encoding="utf-8")
    assert "Traceback (most recent call last)" in text and "in fail_with_a_cause" in text
    assert "KeyError: 'inner'" in text and "ValueError: outer" in text
    # The screen gets one line: what failed and where to read on, whatever the error's causes were.
    assert capsys.readouterr().err == f"  toy fit | failed: ValueError: outer (traceback in {log})\n"


def test_interruption_passes_through(log: Path) -> None:
    with pytest.raises(KeyboardInterrupt), script("toy fit", log):
        raise KeyboardInterrupt


BODY = """
import logging, sys, warnings
from lunar.errors import LunarError
from lunar.progress import script
with script("toy fit", sys.argv[1]):
    warnings.warn("chatty library")
    logging.getLogger("transformers").warning("chatty logger")
    raise LunarError("no such file")
"""


def test_script_as_a_process(tmp_path: Path) -> None:
    # In a process of its own: pytest takes warnings and log messages for itself.
    log = tmp_path / "job.log"
    environment = os.environ | {"PYTHONPATH": str(SCRIPTS)}
    end = subprocess.run([sys.executable, "-c", BODY, str(log)], capture_output=True, text=True, env=environment)
    assert (end.returncode, end.stdout, end.stderr) == (1, "", "  toy fit | error: no such file\n")
    text = log.read_text(encoding="utf-8")
    assert "chatty library" in text and "transformers WARNING chatty logger" in text
    assert "error: no such file" in text and "Traceback" not in text


def test_a_full_disk_is_told_on_the_screen(log: Path, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit), script("a", log) as job:
        log.unlink()
        log.symlink_to("/dev/full")
        job.say("still at work")
        raise LunarError("x: the disk is full")
    assert capsys.readouterr().err == "  a | still at work\n  a | error: x: the disk is full\n"


def test_running_out_of_memory_says_what_to_lower(log: Path, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit), script("a", log):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
    assert "lower batch_size" in capsys.readouterr().err
