"""Where the time went: what jobs took, by rule."""

import math
from pathlib import Path

import pytest

from lunar.pages.profile import COLUMNS, TITLES, by_rule, listing, readable
from lunar.plan.snakemake_files import Measured, benchmarks

HEADER = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"


def benchmark(results: Path, name: str, seconds: str, memory: str = "100.5", cpu: str = "1.5") -> None:
    path = results / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{HEADER}{seconds}\t0:00:01\t{memory}\t1\t1\t1\t0\t0\t0\t{cpu}\n", encoding="utf-8")


@pytest.fixture
def jobs(tmp_path: Path) -> list[Measured]:
    results = tmp_path / "results"
    benchmark(results, "toy/benchmarks/unlearn_a.tsv", "10.0", "300", "20")
    benchmark(results, "toy@1/benchmarks/unlearn_a.tsv", "30.0", "200", "40")
    benchmark(results, "toy/benchmarks/plot.tsv", "0.01", "NA", "-")  # too short to be measured
    benchmark(results, "other/benchmarks/unlearn_a.tsv", "500")
    benchmark(results, "benchmarks/fetch_tiny.tsv", "2.0")
    folder = f"{results.as_posix()}/(toy|toy@1)/benchmarks"
    patterns = {
        "fetch": f"{results.as_posix()}/benchmarks/fetch_tiny\\.tsv",
        "never_ran": f"{folder}/race\\.tsv",
        "plot": f"{folder}/plot\\.tsv",
        "unlearn": f"{folder}/unlearn_(?P<method>a|b)\\.tsv",
    }
    return benchmarks(results, patterns)


def test_jobs_of_the_experiment_and_its_seeds_by_rule(jobs: list[Measured]) -> None:
    table = by_rule(jobs)
    assert list(table.columns) == list(COLUMNS)
    assert table.iloc[0].to_dict() == {
        **{"rule": "unlearn", "jobs": 2, "cpu_seconds": 60.0, "share": 60 / 61.5},
        **{"seconds": 40.0, "longest_seconds": 30.0, "peak_mb": 300.0},
    }
    assert list(table["rule"]) == ["unlearn", "fetch", "plot"]
    assert math.isnan(table.iloc[2]["peak_mb"])


def test_a_job_is_told_by_its_rule_and_its_names(jobs: list[Measured]) -> None:
    assert [(one.rule, one.wildcards, one.numbers["cpu_time"]) for one in jobs if one.rule == "unlearn"] == [
        ("unlearn", {"method": "a"}, 20.0),
        ("unlearn", {"method": "a"}, 40.0),
    ]


def test_readable_with_a_line_for_all(jobs: list[Measured]) -> None:
    lines = readable(by_rule(jobs))
    assert lines[0] == ["unlearn", "2", "1 min 0 s", "97.6%", "40.0 s", "30.0 s", "300"]
    assert lines[2][-1] == "not measured"
    assert lines[-1] == ["all", "4", "1 min 2 s", "100.0%", "42.0 s", "30.0 s", "300"]


def test_no_job_left_a_measurement(tmp_path: Path) -> None:
    table = by_rule(benchmarks(tmp_path, {"unlearn": "x"}))
    assert table.empty and list(table.columns) == list(COLUMNS)
    assert len(readable(table)) == 1


def test_listing_aligned_under_titles(jobs: list[Measured]) -> None:
    first, *lines = listing(by_rule(jobs)).splitlines()
    assert first.startswith("Rule ") and first.endswith(TITLES[-1])
    assert {len(line) for line in lines} == {len(first)}
    assert lines[0].split() == ["unlearn", "2", "1", "min", "0", "s", "97.6%", "40.0", "s", "30.0", "s", "300"]
