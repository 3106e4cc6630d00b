"""What is recorded of a run for the estimate of time, and the tables of growth."""

import tomllib
from pathlib import Path

import growth
import recorded_work
from recorded_work import as_toml, by_rule, job_seconds, once_an_attack, work

SECONDS = {("unlearn", "dpo"): [10.0, 12.0], ("unlearn", "npo"): [40.0], ("finetune", ""): [90.0]}
HEADER = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"


def test_means_by_rule_and_jobs_that_differ_from_them() -> None:
    assert by_rule(SECONDS) == {"unlearn": 62 / 3, "finetune": 90.0}
    found = work(SECONDS, {"unlearn": 5.0})
    assert found["unlearn"] == 62 / 3 - 5 and found["finetune"] == 90.0
    assert (found["unlearn:dpo"], found["unlearn:npo"]) == (6.0, 35.0)
    near = work({("generate_answers", name): [seconds] for name, seconds in (("a", 10.0), ("b", 11.0))}, {})
    assert near == {"generate_answers": 10.5}


def test_a_job_of_all_attacks_is_recorded_as_one_of_them() -> None:
    jobs = {("attack_method", "npo"): [52.0, 26.0], ("unlearn", "npo"): [52.0]}
    assert once_an_attack(jobs, 26) == {("attack_method", "npo"): [2.0, 1.0], ("unlearn", "npo"): [52.0]}


def test_what_is_written_is_read_again() -> None:
    held = {
        "size": {"parameters": 100, "data": 5},
        "start": {"finetune": 1.5},
        "float32": {"processor": "a", "rate": 1e9, "work": {"unlearn:dpo": 6.0}},
    }
    assert tomllib.loads(as_toml(held)) == held


def test_benchmarks_are_read_as_the_target_profile_reads_them(tmp_path: Path) -> None:
    folder = tmp_path / "results/toy"
    for name, seconds in {"toy/benchmarks/attack_npo": 30, "benchmarks/fetch_toy": 4}.items():
        path = folder.parent / f"{name}.tsv"
        path.parent.mkdir(parents=True)
        path.write_text(f"{HEADER}9\t0:00:09\t100\t1\t1\t1\t0\t0\t0\t{seconds}\n", encoding="utf-8")
    assert job_seconds(folder) == {("attack_method", "npo"): [30.0], ("fetch_model", ""): [4.0]}
    assert not (folder / "tables").exists()


def test_the_toy_s_run_is_what_jobs_cost_by_themselves(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(recorded_work, "RECORDED", tmp_path / "work.toml")
    monkeypatch.setattr(recorded_work, "job_seconds", lambda folder: SECONDS)
    monkeypatch.chdir(recorded_work.ROOT)
    recorded_work.main(Path("results/toy"))
    assert tomllib.loads((tmp_path / "work.toml").read_text())["start"] == {"unlearn": 20.7, "finetune": 90.0}
    recorded_work.main(Path("results/authors-smollm2"))
    held = tomllib.loads((tmp_path / "work.toml").read_text())
    [kind] = held.keys() - {"size", "start"}
    assert held[kind]["work"]["finetune"] == 0.0 and held["size"]["data"] > 10**5


def test_growth_stands_beside_that_of_the_work() -> None:
    lines = iter([("solve", 10, 1.0, 100.0, 5.0), ("sums", 10, 2.0, 10.0, 1.0), ("solve", 20, 9.0, 800.0, -1.0)])
    assert growth.table("d_ff", lines).splitlines()[2:] == [
        "| solve | 10 | 1 |  |  | 5 |",
        "| solve | 20 | 9 | 9.0 | 8.0 | 0 |",
        "| sums | 10 | 2 |  |  | 1 |",
    ]
