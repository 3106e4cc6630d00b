"""Snakemake's own share of a run."""

from clone import run_snakemake

# Loaded by every Python that starts with its folder on the path.
COUNT = """
import threading, traceback

class Counted(threading.Timer):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        with open({path!r}, "a") as file:
            file.write("".join(traceback.format_stack()))

threading.Timer = Counted
"""


def test_the_scheduler_turns_when_a_job_ends_and_not_by_the_clock(project, tmp_path, monkeypatch):
    stacks = tmp_path / "stacks.txt"
    (tmp_path / "sitecustomize.py").write_text(COUNT.format(path=str(stacks)), encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    target = "results/toy/data/forget.jsonl"
    assert run_snakemake(project, target).returncode == 0
    assert "job_scheduler.py" not in (stacks.read_text(encoding="utf-8") if stacks.exists() else "")
    # The same without the workflow's word on it: else this test would count nothing.
    (project / target).unlink()
    assert run_snakemake(project, "--no-hooks", target).returncode == 0
    assert "job_scheduler.py" in stacks.read_text(encoding="utf-8")
