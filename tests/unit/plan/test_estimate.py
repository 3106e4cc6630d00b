"""How long a run takes: recorded work at this machine's rate, and what is left told from finished jobs."""

from pathlib import Path

import pytest

from lunar.plan import estimate
from lunar.plan.estimate import Rate, Remaining, Size, Work, at_once, begins, data_bytes, line, measure, told

RECORDED = """
[size]
parameters = 100
data = 1000
attacks = 26
[start]
unlearn = 4.0
evaluate_answers = 1.0
[bfloat16]
processor = "a"
rate = 4e11
[bfloat16.work]
unlearn = 20.0
"unlearn:npo" = 60.0
"""
FULL = Size(100, 1000, 6)
ATTACKED = {"experiment": "a", "method": "npo"}


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    path = tmp_path / "work.toml"
    path.write_text(RECORDED, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("method", "rate", "size", "seconds"),
    [
        ("npo", 4e11, FULL, 64.0),
        ("dpo", 4e11, FULL, 24.0),  # the rule's mean
        ("dpo", 2e11, FULL, 44.0),  # half as fast: the start stays as it is
        ("dpo", 4e11, Size(200, 1000, 6), 44.0),
        ("dpo", 4e11, Size(100, 3000, 6), 64.0),
        ("dpo", 4e11, Size(1, 1000, 6), 4.2),  # nearly nothing but a process
    ],
)
def test_a_job_costs_its_start_and_its_work_at_the_rate_here(
    recorded: Path, method: str, rate: float, size: Size, seconds: float
) -> None:
    work = Work(Rate("bfloat16", rate), recorded)
    assert work.seconds("unlearn", {**ATTACKED, "method": method}, {"a": size}) == pytest.approx(seconds)


def test_a_rule_without_work_costs_its_start_and_an_unknown_one_nothing(recorded: Path) -> None:
    work = Work(Rate("bfloat16", 1e9), recorded)
    assert work.seconds("evaluate_answers", ATTACKED, {"a": FULL}) == 1.0
    assert work.seconds("write_report", {}, {"a": FULL}) == 0.0
    assert begins([("evaluate_answers", ATTACKED), ("write_report", {}), ("unlearn", ATTACKED)], recorded) == 5.0


def test_a_job_of_all_attacks_costs_as_much_as_there_are(recorded: Path) -> None:
    recorded.write_text(RECORDED + "attack_method = 10.0\n", encoding="utf-8")
    assert Work(Rate("bfloat16", 4e11), recorded).seconds("attack_method", ATTACKED, {"a": FULL}) == 60.0


def test_another_kind_of_machine_is_told_by_the_rates(recorded: Path) -> None:
    assert Work(Rate("float32", 1e11), recorded).seconds("unlearn", {}, {}) == 4.0 + 4 * 20.0


def test_a_rule_that_only_the_other_kind_has_is_told_by_the_rates(recorded: Path) -> None:
    part = '[float32]\nprocessor = "b"\nrate = 1e11\n[float32.work]\nunlearn = 70.0\nrehearse = 900.0\n'
    recorded.write_text(RECORDED.replace('"unlearn:npo"', "finetune = 50.0\n'unlearn:npo'") + part, encoding="utf-8")
    plain = Work(Rate("float32", 1e11), recorded)
    assert plain.seconds("unlearn", ATTACKED, {}) == 4.0 + 70.0  # and not the other kind's unlearn:npo
    assert plain.seconds("finetune", {}, {}) == 4 * 50.0
    assert Work(Rate("bfloat16", 4e11), recorded).seconds("rehearse", {}, {}) == 900.0 / 4
    assert Work(Rate("bfloat16", 4e11), recorded).seconds("unlearn", ATTACKED, {}) == 4.0 + 60.0


def test_what_is_recorded_is_whole() -> None:
    held = estimate.tomllib.loads(estimate.RECORDED.read_text(encoding="utf-8"))
    assert {"size", "start"} < held.keys() <= {"size", "start", *estimate.KINDS}
    for kind in held.keys() & {*estimate.KINDS}:
        assert held[kind]["rate"] > 1e9 and {"finetune", "generate_answers", "rehearse"} <= held[kind]["work"].keys()


def test_this_machine_is_measured_in_another_process() -> None:
    found = measure()
    assert found is not None and found.kind in estimate.KINDS and 1e8 < found.rate < 1e14


def test_a_python_without_torch_measures_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate.sys, "executable", "/bin/false")
    assert measure() is None
    assert "torch could not be asked" in line([("finetune", {})], {}, 1, False).found


@pytest.mark.parametrize(("cores", "limit", "jobs"), [(2, 7500, 2), (16, 7500, 2), (16, None, 16), (2, 1000, 1)])
def test_jobs_side_by_side_have_a_core_each_and_share_memory(cores: int, limit: float | None, jobs: int) -> None:
    assert at_once(cores, limit, 3500) == jobs


def test_data_that_is_not_there_has_no_size(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert data_bytes([str(tmp_path / "a")] * 2) == 10
    assert data_bytes([str(tmp_path / "a"), str(tmp_path / "b")]) is None


@pytest.mark.parametrize(
    ("jobs", "sizes", "gpu", "said"),
    [
        ([], {}, False, "nothing is left to do"),
        (None, {}, False, "not known: the run could not be planned; `snakemake -n` says why"),
        ([("finetune", {})], {"a": None}, False, "not known for 1 steps: data is still to be fetched"),
        ([("finetune", {})], {"a": FULL}, True, "not known for 1 steps: no run on a GPU is recorded"),
    ],
)
def test_what_cannot_be_told_says_why(jobs: list | None, sizes: dict, gpu: bool, said: str) -> None:
    assert line(jobs, sizes, 2, gpu).found == said


def test_the_time_is_that_of_jobs_side_by_side() -> None:
    how = "(120 CPU minutes; measured: 100 GFLOP/s a core in float32)"
    assert told(7200, 2, Rate("float32", 1e11), 30) == f"about 1 h 0 min for 30 steps, 2 side by side {how}"


def test_what_is_left_follows_from_what_finished_jobs_took() -> None:
    now = [0.0]
    run = Remaining({1: 2.0, 2: 48.0, 3: 50.0}, clock=lambda: now[0])
    now[0] = 9.0
    assert run.finished(1) is None  # two per cent are not worth a line
    now[0] = 200.0
    assert run.finished(2) == "50% of the work done in 3 min 20 s, about 3 min 20 s left"
    assert run.finished(2) is None
    assert run.finished(3) is None  # nothing is left


def test_the_time_that_is_left_runs_down_between_two_jobs() -> None:
    now = [0.0]
    run = Remaining({1: 2.0, 2: 48.0, 3: 50.0}, expected=100.0, clock=lambda: now[0])
    assert (run.share, run.left()) == (0.0, 100.0)
    now[0] = 30.0
    run.finished(1)  # too little to tell a pace by
    assert run.left() == 70.0
    now[0] = 200.0
    assert run.left() == 0.0  # late, but never less than nothing
    run.finished(2)
    assert (run.share, run.left()) == (0.5, 200.0)
    now[0] = 250.0
    assert run.left() == 150.0


def test_without_a_recorded_time_nothing_is_told_before_the_first_jobs_end() -> None:
    run = Remaining({1: 1.0, 2: 1.0})
    assert run.left() is None
    run.finished(1)
    assert run.left() is not None
