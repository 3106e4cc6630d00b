"""What jobs read of Snakemake: named inputs of a rule, benchmark files."""

import math
from pathlib import Path

import pytest

from lunar.files import write_json
from lunar.plan.snakemake_files import benchmarks, chosen_values, inputs_named, read_benchmark


def test_inputs_named() -> None:
    inputs = {
        "statistics_forget": "a",
        "statistics_retain": "b",
        "direction_forget": "c",
        "statistics": "d",
        "rows": "e",
    }
    assert inputs_named("statistics", inputs) == {"forget": "a", "retain": "b"}
    assert inputs_named("direction", inputs) == {"forget": "c"}
    assert inputs_named("rows", inputs) == {}


def test_chosen_values_are_those_asked_for(tmp_path: Path) -> None:
    paths = [str(tmp_path / "one.json"), str(tmp_path / "other.json")]
    write_json(paths[0], {"chosen": {"layers": [3], "coefficient": 2.0}, "score": 1.0})
    write_json(paths[1], {"chosen": {"factor": 1.5}, "score": 2.0})
    choices = {"one": ["layers"], "other": ["factor"]}
    assert chosen_values(choices, paths) == {"layers": [3], "factor": 1.5}
    assert chosen_values({}, []) == {}
    with pytest.raises(ValueError, match="zip"):
        chosen_values(choices, paths[:1])


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
    assert [(rule, numbers["s"]) for rule, numbers in found] == [("fetch", 2.0), ("edit", 2.0)]
