"""What jobs ask a cluster for under profiles/slurm, from dry runs; locally nothing is asked for that was not before."""

import os
import re
from pathlib import Path

import pytest
import yaml

from clone import ROOT, run_snakemake
from shipped import change_config, toy

RULES = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "rules").glob("*.smk")}
BODIES = {
    match[1]: match[2]
    for text in RULES.values()
    for match in re.finditer(r"^rule (\w+):\n(.*?)(?=^\S|\Z)", text, flags=re.MULTILINE | re.DOTALL)
}
# Rules that are not submitted, and targets.
LOCAL = {rule for rule, body in BODIES.items() if "localrule: True" in body or "output:" not in body} | {"all"}


@pytest.fixture
def planned(project, monkeypatch):
    """A function: dry run with the given arguments, to resources by rule and the number of submitted jobs."""
    for path in (project / "rules").glob("*.smk"):  # a dry run shows a rule's message or else its resources
        text = path.read_text(encoding="utf-8")
        path.write_text(re.sub(r"^ {4}message:\n.*\n", "", text, flags=re.MULTILINE), encoding="utf-8")
    for name in [name for name in os.environ if name.startswith("LUNAR_SLURM_")]:
        monkeypatch.delenv(name)

    def plan(*arguments, experiment="authors-smollm2", **config):
        outcome = run_snakemake(project, "--dry-run", "--printshellcmds", *arguments, experiment=experiment, **config)
        assert outcome.returncode == 0, outcome.stdout[-3000:]
        resources = {}
        for rule, body in re.findall(r"^ *(?:local)?rule (\w+):\n(.*?)\n(?=\n|\[| *\[)", outcome.stdout, re.M | re.S):
            listed = re.search(r"^ *resources: (.*)$", body, flags=re.MULTILINE)[1]
            asked = dict(entry.split("=", 1) for entry in listed.split(", "))
            asked = {key: int(value) if value.isdigit() else value for key, value in asked.items()}
            if asked.get("mem_mb", 0) >= resources.get(rule, {}).get("mem_mb", 0):  # the largest of a rule's jobs
                resources[rule] = asked
        alone = re.findall(r"^rule (\w+):", outcome.stdout, flags=re.MULTILINE)
        groups = re.findall(r"Group job (\w+) \(", outcome.stdout)
        return resources, [*(rule for rule in alone if rule not in LOCAL), *groups]

    return plan


SLURM = ("--workflow-profile", "profiles/slurm")


def test_model_rules_ask_for_what_the_shipped_model_takes(planned, monkeypatch):
    monkeypatch.setenv("LUNAR_SLURM_PARTITION", "short")
    monkeypatch.setenv("LUNAR_SLURM_GPU_PARTITION", "gpu")
    monkeypatch.setenv("LUNAR_SLURM_GPU_MODEL", "a100")
    monkeypatch.setenv("LUNAR_SLURM_ACCOUNT", "12345")
    resources, submitted = planned(*SLURM)
    asked = {"mem_mb": 3700, "runtime": 60, "gpu": 1, "gpu_model": "a100", "slurm_partition": "gpu"}
    assert resources["finetune"].items() >= asked.items()
    assert resources["rehearse"].items() >= (asked | {"mem_mb": 3500}).items()
    assert resources["evaluate_answers"].items() >= {"mem_mb": 1500, "runtime": 20, "slurm_partition": "short"}.items()
    assert "gpu" not in resources["evaluate_answers"]
    assert str(resources["evaluate_answers"]["slurm_account"]) == "12345"
    # Jobs of seconds run where the workflow is started, others share one.
    assert len(submitted) <= 110  # of more than 400 jobs
    assert submitted.count("last") == 1
    assert submitted.count("steer") == 1


def test_a_further_attempt_asks_for_more(planned):
    first, _ = planned(*SLURM, experiment="toy")
    second, _ = planned(*SLURM, "--attempt", "2", experiment="toy")
    for rule in ("finetune", "unlearn", "generate_answers", "embed_answers", "tabulate_metrics"):
        assert second[rule]["mem_mb"] == 2 * first[rule]["mem_mb"], rule
    for rule in ("finetune", "generate_answers", "tabulate_metrics"):
        assert second[rule]["runtime"] == 2 * first[rule]["runtime"], rule


def larger(project, name="llama-7b"):
    """Have the toy experiment name a model of another size."""
    model = {"name": name, "source": "hub", "id": f"some/{name}", "revision": "0" * 40, "disk_gb": 60}

    def change(config):
        # The toy's own model is laid over the default's; here it is to be the hub's alone.
        config["experiments"] = {"mine": {key: value for key, value in toy(config).items() if key != "model"}}
        config["defaults"]["model"] = model
        config["run"] = ["mine"]

    change_config(project, change)


def test_a_larger_model_asks_for_more(planned, project):
    larger(project)
    resources, _ = planned(*SLURM, experiment="mine")
    assert 7e9 * 16 / 1e6 < resources["finetune"]["mem_mb"] < 7e9 * 24 / 1e6
    assert 7e9 * 4 / 1e6 < resources["generate_answers"]["mem_mb"] < 7e9 * 8 / 1e6
    assert 4 * 60 < resources["finetune"]["runtime"] < 12 * 60


def test_a_local_job_never_asks_for_more_than_there_is(planned, project):
    larger(project)
    resources, _ = planned(experiment="mine")
    assert resources["finetune"]["mem_mb"] == 7500  # profiles/default; more would end the run


def test_without_names_the_cluster_decides(planned, monkeypatch):
    monkeypatch.setenv("LUNAR_SLURM_GPUS", "0")
    resources, _ = planned(*SLURM, experiment="toy")
    assert resources["finetune"]["gpu"] == 0
    assert not {"slurm_partition", "slurm_account", "gpu_model"} & {
        key for asked in resources.values() for key in asked
    }


def test_local_jobs_ask_for_what_they_did(planned):
    resources, _ = planned()
    memory = {rule: asked.get("mem_mb") for rule, asked in resources.items()}
    assert (memory["finetune"], memory["collect_activations"], memory["rehearse"]) == (3700, 3500, 3500)
    assert (memory["generate_answers"], memory["fetch_model"], memory["evaluate_answers"]) == (2500, 3000, None)
    assert not any("slurm_partition" in asked for asked in resources.values())


def test_every_rule_has_a_place_in_the_profile(monkeypatch):
    monkeypatch.chdir(ROOT)
    space = {}
    for line in yaml.safe_load(Path("profiles/slurm/config.yaml").read_text(encoding="utf-8"))["__definitions__"]:
        exec(line, space)
    listed = {name: set(space[f"{name}_rules"]) for name in ("model", "last")}
    model = {rule for rule, body in BODIES.items() if re.search(r"^ +gpu=", body, flags=re.MULTILINE)}
    # The audit of published figures belongs to no experiment and is run where its files are.
    assert listed["model"] == model - {"audit_published"}
    assert {"prepare_data", "rename_subjects", "clean_references", "fetch_model", "write_report"} <= LOCAL
    assert set(BODIES) | {"all"} == listed["model"] | listed["last"] | LOCAL | {"audit_published"}
    # Every page and figure of an experiment is among the last, but for the one that is about all jobs.
    pages = {rule for rule, body in BODIES.items() if "shown(" in body and "{experiment}" in body}
    assert pages - listed["last"] == {"show_provenance"}
