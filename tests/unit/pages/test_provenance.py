"""Where results come from: what jobs took, by rule, and what a machine says of itself."""

import importlib.metadata
import math
import subprocess
from pathlib import Path

import pytest

from lunar.pages.provenance import (
    COLUMNS,
    by_rule,
    commit,
    duration,
    machine,
    processor,
    readable,
    seeds,
    versions,
)
from lunar.plan.snakemake_files import benchmarks

HEADER = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"


def benchmark(results: Path, name: str, seconds: str, memory: str = "100.5", cpu: str = "1.5") -> None:
    path = results / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{HEADER}{seconds}\t0:00:01\t{memory}\t1\t1\t1\t0\t0\t0\t{cpu}\n", encoding="utf-8")


@pytest.fixture
def jobs(tmp_path: Path) -> list[tuple[str, dict[str, float]]]:
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


def test_jobs_of_the_experiment_and_its_seeds_by_rule(jobs: list[tuple[str, dict[str, float]]]) -> None:
    table = by_rule(jobs)
    assert list(table.columns) == list(COLUMNS)
    assert table.iloc[0].to_dict() == {
        **{"rule": "unlearn", "jobs": 2, "seconds": 40.0, "cpu_seconds": 60.0},
        **{"longest_seconds": 30.0, "peak_mb": 300.0},
    }
    assert list(table["rule"]) == ["unlearn", "fetch", "plot"]
    assert math.isnan(table.iloc[2]["peak_mb"])


def test_readable_with_a_line_for_all(jobs: list[tuple[str, dict[str, float]]]) -> None:
    lines = readable(by_rule(jobs))
    assert lines[0] == ["unlearn", "2", "40.0 s", "1 min 0 s", "30.0 s", "300"]
    assert lines[2][-1] == "not measured"
    assert lines[-1] == ["all", "4", "42.0 s", "1 min 2 s", "30.0 s", "300"]


def test_no_job_left_a_measurement(tmp_path: Path) -> None:
    table = by_rule(benchmarks(tmp_path, {"unlearn": "x"}))
    assert table.empty and list(table.columns) == list(COLUMNS)
    assert len(readable(table)) == 1


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(4.25, "4.2 s"), (59.96, "1 min 0 s"), (200, "3 min 20 s"), (3599.7, "1 h 0 min"), (math.nan, "not measured")],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_versions() -> None:
    def installed(name: str) -> str:
        if name == "gone":
            raise importlib.metadata.PackageNotFoundError(name)
        return "2.0+cpu"

    text = "# model\ntorch==2.0\ngone[all]==1.0\n"
    assert versions(text, installed) == [("torch", "2.0", "2.0+cpu"), ("gone", "1.0", "")]


def test_processor(tmp_path: Path) -> None:
    information = tmp_path / "cpuinfo"
    information.write_text("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\n", encoding="utf-8")
    assert processor(information) == "Some CPU @ 2 GHz"
    assert processor(tmp_path / "none")


def test_commit_tells_of_changes(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        name = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "core.hooksPath=/dev/null")
        subprocess.run(["git", "-C", str(tmp_path), *name, *arguments], check=True, capture_output=True)

    assert commit(tmp_path) == "not a git checkout"
    git("init")
    (tmp_path / "a").write_text("1", encoding="utf-8")
    git("add", "a")
    git("commit", "-m", "first")
    git("tag", "v1")
    clean = commit(tmp_path)
    assert len(clean) == 40
    (tmp_path / "a").write_text("2", encoding="utf-8")
    assert commit(tmp_path) == f"{clean} and changes"


def test_machine_says_what_it_is(tmp_path: Path) -> None:
    found = machine(None, tmp_path)
    assert found["GPU"].startswith("none seen") and "cores" in found["Processor"]
    assert found["Python"].startswith("3.") and found["Memory"].endswith("GB")


def test_seeds_are_found_wherever_they_stand() -> None:
    settings = {"seed": 0, "seeds": [0, 1], "attacks": {"sampling": {"seed": 3, "draws": 8}}, "compare": ["seed"]}
    assert dict(seeds(settings)) == {"seed": 0, "seeds": [0, 1], "attacks.sampling.seed": 3}
