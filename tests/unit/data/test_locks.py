"""Two real processes that want the same file."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lunar.data import locks
from lunar.errors import LunarError

SCRIPTS = Path(__file__).parents[3] / "scripts"
HOLDER = "from lunar.data import locks; locks.hold('results/a.log', wait=0.01); print('held', flush=True); input()"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A work folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def start(code: str = HOLDER) -> subprocess.Popen:
    """Another process in this folder; it has run as far as its first line of output."""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    other = subprocess.Popen([sys.executable, "-c", code], env={"PYTHONPATH": str(SCRIPTS)}, text=True, **pipes)
    assert other.stdout.readline() == "held\n"
    return other


@pytest.mark.parametrize("ends", ["killed", "released"])
def test_a_second_process_waits_for_the_first_and_says_for_which(ends, capsys) -> None:
    first = start(HOLDER + "; locks.release('results/a.log'); print('released', flush=True); input()")
    pid = first.pid
    locks_there = list(locks.FOLDER.iterdir())
    assert len(locks_there) == 1
    second = subprocess.Popen(
        [sys.executable, "-c", HOLDER.replace("input()", "locks.release('results/a.log')")],
        env={"PYTHONPATH": str(SCRIPTS)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    said = second.stderr.readline()
    assert f"process {pid}; waiting for it to end (kill {pid} ends it)" in said
    if ends == "killed":
        first.kill()
    else:
        print(file=first.stdin, flush=True)
        assert first.stdout.readline() == "released\n"
    assert second.communicate(timeout=20)[0] == "held\n"
    assert second.returncode == 0
    first.kill()
    first.wait()
    assert list(locks.FOLDER.iterdir()) == []


def test_a_process_does_not_wait_for_itself(folder: Path) -> None:
    for path in ("results/a.log", folder / "results/a.log", "results/b.log"):
        locks.hold(path)
    for path in ("results/a.log", "results/b.log", "results/b.log"):
        locks.release(path)
    assert list(locks.FOLDER.iterdir()) == []


def test_a_job_that_a_later_run_overtook_ends(monkeypatch) -> None:
    """It waited for the lock and gets it once the later job is done: what it would write is not wanted any more."""
    later = start(HOLDER)  # this process is older
    monkeypatch.setattr(time, "sleep", lambda seconds: later.kill() or later.wait())
    with pytest.raises(LunarError, match=r"results/a\.log: a later run has made this"):
        locks.hold("results/a.log")
    assert list(locks.FOLDER.iterdir()) == []


def test_a_file_system_without_locks_gets_a_warning(monkeypatch, caplog) -> None:
    def refused(*arguments: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.flock", refused)
    locks.hold("results/a.log")
    assert "this file system gives no lock" in caplog.text
    locks.release("results/a.log")


def test_a_lock_whose_holder_says_nothing_yet_is_waited_for(monkeypatch, capsys) -> None:
    other = start(HOLDER)
    [path] = locks.FOLDER.iterdir()
    held = json.loads(path.read_text())
    path.write_text("")  # as between locking and writing
    looks = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        path.write_text(json.dumps(held | {"host": "node7", "job": "12", "started": 0}) if len(looks) == 1 else "{")
        if len(looks) == 2:
            other.kill()
            other.wait()

    monkeypatch.setattr(time, "sleep", sleep)
    locks.hold("results/a.log")
    locks.release("results/a.log")
    assert "on node7; waiting for it to end (scancel 12 ends it)" in capsys.readouterr().err
