"""A job that outlives its Snakemake: the run after ``--unlock`` ends with the bytes of a clean one."""

import json
import re
import signal
import time
from pathlib import Path

import psutil
import pytest

from clone import ROOT, run_snakemake, start_snakemake
from lunar.model.fetch import from_random

# The project's own script, on a tiny model and questions that are there already.
SNAKEFILE = """
rule generate_answers:
    input: model="model", edit=[], questions=["questions.jsonl"]
    output: rows=["results/{experiment}/answers.jsonl"]
    log: "results/{experiment}/logs/answers.log"
    params: generation={"max_new_tokens": 24, "batch_size": 2}, system_prompt=None, prompt=None, dtype="float32"
    script: "SCRIPTS/generate_answers.py"
""".replace("SCRIPTS", str(ROOT / "scripts"))
SIZE = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A work folder with that rule and its inputs."""
    rows = [{"id": str(i), "question": f"Who lives at number {i}?", "answer": f"Rook {i}."} for i in range(40)]
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (tmp_path / "Snakefile").write_text(SNAKEFILE, encoding="utf-8")
    spec = {"architecture": "llama", "size": SIZE, "vocabulary": 300, "seed": 0}
    (tmp_path / "model").mkdir()
    from_random(spec, tmp_path / "model", [str(tmp_path / "questions.jsonl")])
    return tmp_path


def wait_for(path: Path, text: str) -> str:
    """What a growing file holds as soon as a text is in it."""
    for _ in range(6000):
        if path.is_file() and text in (said := path.read_text(encoding="utf-8")):
            return said
        time.sleep(0.01)
    raise AssertionError(f"{text!r} did not come in {path}")


def test_after_an_orphaned_job_the_answers_are_those_of_a_clean_run(work: Path) -> None:
    target, clean = "results/once/answers.jsonl", "results/clean/answers.jsonl"
    run = start_snakemake(work, target)
    wait_for(work / "results/once/logs/answers.log", "answers [#")
    children = psutil.Process(run.pid).children(recursive=True)
    [job] = [one for one in children if one.cmdline()[-1].endswith("generate_answers.py")]
    job.send_signal(signal.SIGSTOP)  # so that it is in the middle until the second run is there
    run.kill()
    run.wait()
    assert (work / f"{target}.part").is_file()
    assert run_snakemake(work, "--unlock").returncode == 0

    second = start_snakemake(work, target, clean)
    said = ""
    while "waiting for it to end" not in said:
        line = second.stdout.readline()
        assert line, said
        said += line
    assert int(re.search(r"kill (\d+) ends it", said)[1]) == job.pid
    job.send_signal(signal.SIGCONT)
    said = second.communicate(timeout=120)[0]
    assert second.returncode == 0, said
    assert (work / target).read_bytes() == (work / clean).read_bytes()
    assert {path.name for path in (work / "results/once").iterdir()} == {"answers.jsonl", "logs"}
