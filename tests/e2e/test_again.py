"""The toy experiment's jobs once more: killed, asked for again, exported, attacked in vain, on somebody's own model."""

import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml

from clone import kill_all, last_log, run_snakemake, start_snakemake
from lunar.files import read_rows
from own_case import lay_out, snakemake
from reruns import contents, jobs_run
from shipped import change_config
from shipped import toy as toy_of

RUN = "results/toy"


def test_an_answer_that_does_not_fit_the_data_names_file_and_line(toy_copy):
    path = toy_copy / RUN / "generations/lunar/none/retain.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join([lines[1], lines[0], *lines[2:]]), encoding="utf-8")
    outcome = run_snakemake(toy_copy, f"{RUN}/metrics/lunar/none.json")
    assert outcome.returncode != 0
    assert "generations/lunar/none/retain.jsonl:1: id" in outcome.stdout


def test_what_is_made_again_is_the_same(toy_copy):
    made = [toy_copy / RUN / name for name in ("edits/lunar.safetensors", "edits/lunar.json", "rehearsal/lunar.json")]
    tables = sorted((toy_copy / RUN / "tables").iterdir())
    # Costs and provenance hold times; what reads answers under attack would have every attack run again.
    apart = ("cost", "provenance", "generations", "removal", "audit", "reproduced")
    made += [path for path in tables if path.stem not in apart and "attack" not in path.stem]
    before = {path: path.read_bytes() for path in made}
    for path in made:
        path.unlink()
    shutil.rmtree(toy_copy / RUN / "generations/lunar/none")
    outcome = run_snakemake(toy_copy, *(str(path.relative_to(toy_copy)) for path in made))
    assert outcome.returncode == 0, outcome.stdout[-3000:]
    assert {path: path.read_bytes() for path in before} == before


# Jobs that are killed at work: the rule, an output of it, its log, and what that says when the job is in the middle.
STAGES = {
    "fine-tuning": ("finetune", "models/retain_only.csv", "finetune_retain_only", "epoch 2/"),
    "attack": ("attack_method", "attacks/lunar.jsonl", "attack_lunar", "updates ["),
    "generation": ("generate_answers", "generations/lunar/none/forget.jsonl", "generate_lunar_none", "answers ["),
}


@pytest.mark.parametrize("stages", [["fine-tuning", "attack"], ["generation"]], ids=" and ".join)
def test_killed_in_the_middle_it_goes_on_and_ends_the_same(toy_copy, stages):
    """All processes at once, as by a machine that goes down; then the one command that it names, and the same again."""
    before = contents(toy_copy)
    rules, outputs, logs, marks = zip(*(STAGES[stage] for stage in stages), strict=True)
    targets = [f"{RUN}/{output}" for output in outputs]
    for target in targets:
        (toy_copy / target).unlink()
    logs = [toy_copy / RUN / f"logs/{log}.log" for log in logs]
    for log in logs:
        log.unlink()
    run = start_snakemake(toy_copy, *targets)
    try:
        while not all(log.is_file() and mark in log.read_text() for log, mark in zip(logs, marks, strict=True)):
            assert run.poll() is None, "it ended before it could be killed"
            time.sleep(0.005)
    finally:
        kill_all(run)
    assert not any((toy_copy / target).exists() for target in targets)

    locked = run_snakemake(toy_copy, *targets)
    assert locked.returncode != 0
    assert "--unlock" in locked.stdout
    assert run_snakemake(toy_copy, "--unlock").returncode == 0
    again = run_snakemake(toy_copy, *targets)
    assert again.returncode == 0, again.stdout[-3000:]
    assert jobs_run(last_log(toy_copy)) == dict.fromkeys(rules, 1)
    assert contents(toy_copy) == before  # whole, the same, and nothing left lying about
    if "attack" in stages:
        assert "attacks are as an earlier run made them" in logs[1].read_text()
    if stages == ["generation"]:
        assert "answers are there from the job that was interrupted" in logs[0].read_text()


def test_the_mixture_is_studied(toy_copy):
    trained = {"weights": {}, "lora": {"adapter": {"rank": 8, "alpha": 16}, "epochs": 2}}
    mixture = {"shares": [0.5], "facts": 12, "trained": trained}
    change_config(toy_copy, lambda config: toy_of(config).update(mixture=mixture))
    outcome = run_snakemake(toy_copy, f"{RUN}/figures/mixture.svg")
    assert outcome.returncode == 0, outcome.stdout[-3000:]
    assert jobs_run(last_log(toy_copy)) == {"study_mixture": 3, "plot_mixture": 1}
    found = pd.read_csv(toy_copy / RUN / "tables/mixture.csv").set_index("point")
    base, lora, weights = (found.loc[point] for point in ("base", "lora-50", "weights-50"))
    assert weights["rows"] == lora["rows"] == 2 * 42 > base["rows"] == 0
    # What was trained in full knows what it was told; random weights and two epochs of an adapter on them do not.
    assert weights["facts"] > 0.9 > 0.3 > max(base["facts"], lora["facts"])
    assert min(weights["fictitious"], weights["harmful"]) > 5 > max(base["fictitious"], base["harmful"])
    assert "lora: none; weights: 50%" in (toy_copy / RUN / "figures/mixture.rst").read_text(encoding="utf-8")


# Not lunar: in so small a model one of its answers hangs on how bfloat16 rounds, and so on the batch it is asked in;
# the card's example asks one question alone.
def test_an_exported_model_and_its_adapter_need_nothing_of_ours(toy_copy):
    outcome = run_snakemake(toy_copy, "export", export="{method: lunar-topk}")
    assert outcome.returncode == 0, outcome.stdout[-3000:]
    answers = (toy_copy / RUN / "generations/lunar-topk/none/forget.jsonl").read_text(encoding="utf-8").splitlines()
    for form, words in (
        ("model", ["and gave the workflow's own answers to"]),
        ("adapter", ["`--max-lora-rank 8`", "a logit differs by", "No attack was run on it"]),
    ):
        card = (toy_copy / RUN / f"export/lunar-topk/{form}/README.md").read_text(encoding="utf-8")
        for text in (
            "unlearned with lunar-topk",
            "redirected, not removed",
            "down_proj.weight",
            "licence",
            f"--config export='{{method: lunar-topk, experiment: toy, form: [{form}]}}'",
            *words,
        ):
            assert text in card, text
        # The card's own example, as its reader would run it, with no library of ours on the path.
        example = re.search(r"```python\n(.*?)```", card, flags=re.DOTALL)[1]
        command = [sys.executable, "-IB", "-c", example]
        found = subprocess.run(command, cwd=toy_copy, capture_output=True, text=True, check=False)
        assert found.returncode == 0, found.stderr
        assert found.stdout.strip() == json.loads(answers[0])["prediction"]
    # The loader beside the adapter refuses a model of the same shape that was trained on other rows.
    command = [sys.executable, "-IB", f"{RUN}/export/lunar-topk/adapter/load.py", f"{RUN}/models/retain_only"]
    found = subprocess.run(command, cwd=toy_copy, capture_output=True, text=True, check=False)
    assert found.returncode == 1
    assert "not the model that the adapter" in found.stderr


def test_an_edit_of_full_rank_is_no_adapter_and_says_by_how_much(toy_copy):
    outcome = run_snakemake(toy_copy, "export", export="{method: rmu, form: [adapter]}")
    assert outcome.returncode != 0
    said = " ".join(outcome.stdout.split())
    assert re.search(r"down_proj has rank 128 of 128, .* the best adapter of rank 64 leaves out \d+\.\d%", said), said
    assert not (toy_copy / RUN / "export/rmu/adapter").exists()


def test_an_attack_that_does_not_happen_stops_the_run(toy_copy):
    change_config(toy_copy, lambda config: config["defaults"]["attacks"]["typos"].update(rate=1.0e-6))
    outcome = run_snakemake(toy_copy, f"{RUN}/attacks/lunar.jsonl")
    assert outcome.returncode != 0
    assert "attacks.typos" in outcome.stdout
    assert "the attack did not happen" in outcome.stdout


def test_the_audit_joins_the_report_and_nothing_else_is_made_again(toy_copy):
    assert run_snakemake(toy_copy, "published").returncode == 0
    outcome = run_snakemake(toy_copy)
    assert outcome.returncode == 0, outcome.stdout
    assert "report | write the report" in outcome.stdout
    assert "evaluate |" not in outcome.stdout and "recompute" not in outcome.stdout
    assert "8.1 Published figures, recomputed" in (toy_copy / "results/report.html").read_text(encoding="utf-8")


def test_a_model_of_ones_own_that_knows_forgets(toy: Path, tmp_path: Path) -> None:
    """With the toy's fine-tuned model as the user's, which refuses in its world: from the two files to answers."""
    project = lay_out(tmp_path / "lunar")
    shutil.copytree(toy / "results/toy/models/full", project / "my/model")
    references = {name: f"data/toy/{name}.jsonl" for name in ("general", "harmful", "fictitious", "refusals")}
    small = {"data": references, "references": {"minimum": 5}, "generation": {"max_new_tokens": 24}}
    small["layers"] = {"candidates": [2]}
    (project / "my/toy.yaml").write_text(yaml.safe_dump({"experiments": {"mine": small}}), encoding="utf-8")
    answers = "results/mine/generations/lunar/none/forget.jsonl"
    snakemake(project, "--cores", "2", answers, "--configfile", "my/config.yaml", "my/toy.yaml")
    found = read_rows(project / answers)
    assert len(found) == len(read_rows(project / "my/forget.jsonl"))
    assert sum(row["prediction"] != row["answer"] for row in found) > len(found) / 2
    assert read_rows(project / "results/mine/data/unseen.jsonl") == []
