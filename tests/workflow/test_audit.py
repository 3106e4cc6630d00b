"""docs/audit.md's file and commands, planned: with models of random weights, which no attack could be tried on."""

import re
import shutil
from copy import deepcopy
from pathlib import Path

import pytest
import yaml
from peft import LoraConfig, get_peft_model

from audit_case import COMMANDS, YAML, lay_out
from clone import ROOT, copy_project, run_snakemake
from lunar.model.fetch import from_random
from lunar.model.load import load_model
from lunar.model.pair import ADAPTER
from own_case import snakemake
from shipped import CONFIG

CHECK, RUN = ([*command[1:]] for command in COMMANDS if command[0].endswith("snakemake"))
METHODS = yaml.safe_load(YAML)["experiments"]["mine"]["methods"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    toy = deepcopy(CONFIG)["experiments"]["toy"]["model"]
    for name in ("full", "retain_only"):
        (tmp_path / "toy" / name).mkdir(parents=True)
        from_random(toy, tmp_path / "toy" / name, [str(ROOT / path) for path in toy["corpus"]])
    project = copy_project(tmp_path / "lunar")
    lay_out(project, tmp_path / "toy")
    shutil.copytree(tmp_path / "toy/full", project / METHODS["difference"]["folder"])
    adapted = get_peft_model(load_model(tmp_path / "toy/full"), LoraConfig(r=2, target_modules=["down_proj"]))
    adapted.save_pretrained(project / METHODS["refusal"]["adapter"])
    return project


def planned(project: Path) -> dict[str, int]:
    said = snakemake(project, *RUN, "--dry-run")
    return {
        rule: int(number)
        for rule, number in re.findall(r"^(\w+) +(\d+)$", said.rpartition("Job stats:")[2], flags=re.MULTILINE)
    }


def test_the_check_finds_everything(project: Path) -> None:
    said = snakemake(project, *CHECK)
    assert "ok       model     in models/before" in said
    assert "ok       models    difference: in models/difference/model, " in said
    assert "nothing is missing" in said


def test_the_check_finds_mix_ups_that_files_tell(project: Path) -> None:
    path = project / METHODS["difference"]["folder"] / "config.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"hidden_act": "silu"', '"hidden_act": "gelu"'))
    (project / METHODS["refusal"]["adapter"] / ADAPTER).rename(project / "pickled.bin")
    outcome = run_snakemake(project, *CHECK, experiment="mine")
    assert outcome.returncode != 0
    assert "config.json is not that of the model before (hidden_act 'gelu', not 'silu')" in outcome.stdout
    assert f"no {ADAPTER}, and pickled weights are never loaded" in outcome.stdout


def test_every_model_is_taken_in_and_attacked_and_none_is_made(project: Path) -> None:
    jobs = planned(project)
    assert (jobs["take_checkpoint"], jobs["attack_method"], jobs["write_report"]) == (3, 3, 1)
    assert not {"finetune", "rehearse", "unlearn"} & set(jobs)


def test_without_the_line_of_the_model_that_never_knew(project: Path) -> None:
    lines = YAML.splitlines(keepends=True)
    shorter = "".join(line for line in lines if "leave this line out" not in line)
    assert len(shorter.splitlines()) == len(lines) - 1
    (project / "my/audit.yaml").write_text(shorter, encoding="utf-8")
    jobs = planned(project)
    assert (jobs["take_checkpoint"], jobs["attack_method"], jobs["write_report"]) == (2, 2, 1)


def test_the_check_reads_evaluation_logs(project: Path) -> None:
    """They are set beside the numbers at the very end of a run."""
    (project / "my/log.json").write_text('{"forget_quality": "high"}', encoding="utf-8")
    with (project / "my/audit.yaml").open("a", encoding="utf-8") as file:
        file.write("    evaluation_logs: {difference: my/log.json}\n")
    outcome = run_snakemake(project, *CHECK, experiment="mine")
    assert outcome.returncode != 0
    assert "mine: logs: my/log.json: forget_quality: 'high' is not a number; name a TOFU_EVAL.json" in outcome.stdout
