"""Benchmark files as Snakemake writes them."""

import math
import subprocess
import sys
from pathlib import Path

import pytest

from lunar.plan.snakemake_files import benchmarks, killed, read_benchmark, records

BENCHMARK = "s\th:m:s\tmax_rss\tmax_vms\n{s}\t0:00:12\t{rss}\t9000.00\n"


@pytest.mark.parametrize("missing", ["NA", "-"])
def test_job_too_short_to_be_measured(tmp_path: Path, missing: str) -> None:
    (tmp_path / "b.tsv").write_text(BENCHMARK.format(s="0.1", rss=missing), encoding="utf-8")
    found = read_benchmark(tmp_path / "b.tsv")
    assert math.isnan(found["max_rss"])
    assert (found["s"], found["max_vms"]) == (0.1, 9000.0)


def test_a_file_without_a_job_has_no_numbers(tmp_path: Path) -> None:
    (tmp_path / "b.tsv").write_text("", encoding="utf-8")
    assert read_benchmark(tmp_path / "b.tsv") == {}


def test_jobs_of_the_rules_that_are_asked_for(tmp_path: Path) -> None:
    for place in ("toy/benchmarks", "benchmarks", "other/benchmarks"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "a.tsv").write_text(BENCHMARK.format(s="2", rss="1"), encoding="utf-8")
    found = benchmarks(
        tmp_path, {"fetch": f"{tmp_path.as_posix()}/benchmarks/a.tsv", "edit": ".*/toy/benchmarks/a.tsv"}
    )
    assert [(one.rule, one.numbers["s"]) for one in found] == [("fetch", 2.0), ("edit", 2.0)]


def test_logs_without_an_end_are_those_of_killed_jobs(tmp_path: Path) -> None:
    texts = {
        "killed": "22:01:07 forget 6\n22:01:09 answers [##  ] 2/40, about 4 s left\n",
        "killed_at_once": "",
        "done": "22:01:07 forget 6\n22:01:09 done in 2 s\n",
        "mistake": "22:01:07 error: a: no file b\nsecond line\n",
        "defect": "22:01:07 Traceback\n  x\n22:01:08 failed: x\n",
        "interrupted": "22:01:07 interrupted\n",
        "report": "Building DAG of jobs...\n",
    }
    said = ""
    for name, text in texts.items():
        path = tmp_path / f"a job {name}.log"
        path.write_text(text, encoding="utf-8")
        said += f"Error in rule a:\n    log: {path} (check log file(s) for error details)\n"
    said += (
        f"    log: {tmp_path}/none.log (check log file(s) for error details)\n    log: {tmp_path}/running.log\n" + said
    )
    log = tmp_path / "snakemake.log"
    log.write_text(said, encoding="utf-8")
    assert [Path(path).stem for path in killed([str(log)])] == ["a job killed", "a job killed_at_once"]


def test_records_lead_from_a_table_to_the_jobs_before_it(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("{}\n", encoding="utf-8")
    (tmp_path / "Snakefile").write_text(
        'rule table:\n    input: "a.txt", "b.txt"\n    output: "table.csv"\n    log: "table.log"\n'
        '    shell: "cat {input} > {output}"\n'
        'rule part:\n    input: "rows.jsonl"\n    output: "a.txt", "b.txt"\n    log: "part.log"\n'
        '    shell: "cp {input} {output[0]}; cp {input} {output[1]}"\n'
        'rule other:\n    output: "other.csv"\n    log: "other.log"\n    shell: "touch {output}"\n',
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "table.csv", "other.csv"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    first, last = records(tmp_path / ".snakemake/metadata", ["table.csv"])
    assert (first.rule, first.inputs, sorted(first.outputs)) == ("part", ["rows.jsonl"], ["a.txt", "b.txt"])
    assert (last.rule, last.log, last.outputs) == ("table", "table.log", ["table.csv"])
    assert first.start <= first.end <= last.end
