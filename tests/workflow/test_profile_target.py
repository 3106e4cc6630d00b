"""The target `profile`: where the time of a half-finished experiment went, and how it is measured."""

import csv
import re
import subprocess
import sys

from snakemake import benchmark

from clone import ROOT, run_snakemake

HEADER = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"


def test_jobs_that_have_run_are_summed_by_rule(project):
    folder = project / "results/toy/benchmarks"
    folder.mkdir(parents=True)
    for name, seconds in {"attack_lunar": 20, "attack_npo": 30, "evaluate_lunar_none": 50}.items():
        (folder / f"{name}.tsv").write_text(f"{HEADER}9\t0:00:09\t100\t1\t1\t1\t0\t0\t0\t{seconds}\n", encoding="utf-8")
    outcome = run_snakemake(project, "profile")
    assert outcome.returncode == 0, outcome.stdout
    assert re.search(r"attack_method +2 +50\.0 s +50\.0% +18\.0 s +9\.0 s +100\n", outcome.stdout), outcome.stdout
    with (project / "results/toy/tables/profile.csv").open(encoding="utf-8") as file:
        rows = {row["rule"]: row for row in csv.DictReader(file)}
    assert {name: float(row["cpu_seconds"]) for name, row in rows.items()} == {
        "attack_method": 50,
        "evaluate_answers": 50,
    }


def test_an_experiment_that_has_not_begun_is_named(project):
    outcome = run_snakemake(project, "profile")
    assert outcome.returncode == 0 and "toy: no job of it was run here" in outcome.stdout, outcome.stdout
    assert not (project / "results/toy").exists()


def test_cpu_time_is_looked_at_every_three_seconds(monkeypatch):
    [line] = re.findall(
        r"^benchmark\.benchmarked.*$", (ROOT / "Snakefile").read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    monkeypatch.setattr(benchmark.benchmarked.__wrapped__, "__defaults__", (None, None, 30))
    exec(line, {"benchmark": benchmark})
    monkeypatch.setattr(benchmark, "BENCHMARK_INTERVAL_SHORT", 0.01)  # as if the first half seconds had passed
    work = subprocess.Popen([sys.executable, "-c", "import time\nwhile time.process_time() < 4: pass"])
    with benchmark.benchmarked(work.pid) as record:
        work.wait()
    assert 0.8 < record.cpu_time < 4.2
