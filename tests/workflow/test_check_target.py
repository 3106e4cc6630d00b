"""The target `check`: seconds, a listing, an exit status, and nothing left but a log."""

from clone import run_snakemake
from lunar.plan.snakemake_files import planned
from shipped import change_config, read, toy


def made(project):
    folder = project / "results"
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_nothing_missing(project):
    outcome = run_snakemake(project, "check")
    assert outcome.returncode == 0, outcome.stdout
    for words in (
        "this machine",
        "\ntoy\n",
        "random weights",
        "forget 6, retain 24",
        "GPU",
        "packages",
        "embedder",
        " steps",
    ):
        assert words in outcome.stdout, outcome.stdout
    assert made(project) == ["logs/check.log"]


def test_what_is_missing_is_named_with_the_way_out(project):
    model = {"name": "mine", "source": "path", "folder": "my/model", "disk_gb": 1}
    lacking = {"model": model, "embedder": {"source": "package", "name": "no_such_package"}}
    change_config(project, lambda config: toy(config).update(lacking))
    outcome = run_snakemake(project, "check")
    assert outcome.returncode != 0
    for words in (
        "toy: model: no folder my/model; correct model.folder",
        "toy: embedder: no package no_such_package",
        "  ok       disk",  # the rest is listed too
    ):
        assert words in outcome.stdout, outcome.stdout
    assert "Traceback" not in outcome.stdout
    assert set(made(project)) <= {"logs/check.log"}


def test_the_jobs_that_are_left_are_listed_with_what_tells_them_apart(project, monkeypatch):
    monkeypatch.chdir(project)
    pattern = r"results/(?P<experiment>[^/]+)/generations/(?P<method>[^/]+)/(?P<attack>[^/]+)/\w+.jsonl"
    jobs = planned(str(project / "Snakefile"), read(project) | {"run": ["toy"]}, {"generate_answers": [pattern]})
    assert ("generate_answers", {"experiment": "toy", "method": "lunar", "attack": "none"}) in jobs
    assert len(jobs) == len({str(job) for job in jobs}) == 21
    assert made(project) == []


def test_a_run_that_cannot_be_planned_is_no_run_without_jobs(project, monkeypatch):
    monkeypatch.chdir(project)
    assert planned(str(project / "Snakefile"), read(project) | {"run": ["no-such-experiment"]}, {}) is None


def test_no_time_is_told_where_nothing_is_made(project):
    said = run_snakemake(project, "--touch", "--until", "finetune").stdout  # of which it finds none
    assert "finetune" in said and "time |" not in said
