"""The plug-ins of docs/extending.md, as the page has them, on the finished toy experiment."""

import math
from pathlib import Path

import pandas as pd
import pytest

import examples
from clone import last_log, run_snakemake
from lunar.activations.statistics import Statistics
from lunar.edits import edit as edits
from lunar.files import read_json, read_rows
from lunar.metrics.text import mean, rouge1
from reruns import jobs_run

RUN = "results/toy"
OPTIONS = ("--configfile", "my/config.yaml")
MADE = [f"{RUN}/metrics/{name}.json" for name in ("bounded/none", "sparing/none", "lunar/attacked", "lunar/none")]


def answers(folder: Path, method: str, part: str) -> list[dict]:
    return read_rows(folder / f"{RUN}/generations/{method}/none/{part}.jsonl")


def test_the_plug_ins_of_the_page_run(toy_copy: Path) -> None:
    examples.lay_out(toy_copy)
    before = read_json(toy_copy / MADE[-1])
    outcome = run_snakemake(toy_copy, *MADE, *OPTIONS)
    assert outcome.returncode == 0, outcome.stdout[-6000:]
    results, known = toy_copy / RUN, answers(toy_copy, "vanilla", "forget")

    # The method by gradient: its bound was rehearsed, its loss fell, answers followed.
    bound = read_json(results / "rehearsal/bounded.json")["chosen"]["bound"]
    assert bound in examples.CONFIG["experiments"]["toy"]["methods"]["bounded"]["grid"]["bound"]
    loss = pd.read_csv(results / "edits/bounded_curve.csv")["loss_forget"]
    assert loss.iloc[-3:].mean() < 0.7 * loss.iloc[0] <= 0.7 * bound
    assert mean(rouge1, answers(toy_copy, "bounded", "forget")) < mean(rouge1, known) - 0.1

    # The closed form: a change of rank one at the block that its entry names, which spares half of what it is to spare.
    [(name, change)] = edits.load(results / "edits/sparing.safetensors").items()
    assert name == "layers.2.mlp.down_proj" and isinstance(change, edits.Factors)
    assert change.left.shape[1] == change.right.shape[1] == 1
    files = [results / f"activations/vanilla/{part}.safetensors" for part in ("forget", "fictitious", "retain")]
    forget, reference, retain = (Statistics.load(path).mean("residual", "last")[2] for path in files)
    spared = change.left[:, 0].double() @ retain / (1.5 * (reference - forget) @ retain)
    assert float(spared) == pytest.approx(0.5, rel=1e-3)
    assert mean(rouge1, answers(toy_copy, "sparing", "forget")) < mean(rouge1, known) - 0.5
    assert mean(rouge1, answers(toy_copy, "sparing", "retain")) > 0.8

    # The attack: each question was asked after a phrase, where the attack had to succeed and on the method.
    phrases = [line for line in examples.FILES["my/phrases.txt"].splitlines() if not line.startswith("#")]
    controls, attacked = (read_rows(results / name) for name in ("attack_controls.jsonl", "attacks/lunar.jsonl"))
    [control], [found] = ([row for row in rows if row["part"] == "phrases"] for rows in (controls, attacked))
    assert control["evidence"]["attacked"] > 0.4 * control["evidence"]["unattacked"] > 0
    asked, evidence = found["rows"]["forget"], found["evidence"]
    assert evidence["phrases"] == phrases and evidence["asked"]["forget"]["altered"] == len(asked)
    assert {row["question"].partition(". ")[0] + "." for row in asked} == set(phrases)

    # The metric: of the model alone and under attack; it stands in the tables' order and spares all other numbers.
    for method in ("lunar", "bounded", "sparing"):
        found = read_json(results / f"metrics/{method}/none.json")["splits"]
        for part in ("forget", "retain"):
            assert found[part]["verbatim"]["mean"] <= 1 and not math.isnan(found[part]["verbatim"]["low"])
    after = read_json(toy_copy / MADE[-1])
    assert after["splits"]["forget"]["verbatim"]["mean"] < after["splits"]["retain"]["verbatim"]["mean"]
    assert "verbatim" in read_json(results / "metrics/lunar/attacked.json")["phrases"]["splits"]["forget"]
    assert after["described"]["answers"].pop("verbatim")["source"] == "this project, 4 words"
    for split in after["splits"].values():
        del split["verbatim"]
    assert after == before

    # Done; and another phrase has this attack run again, and no other.
    assert "Nothing to be done" in run_snakemake(toy_copy, "--dry-run", *MADE, *OPTIONS).stdout
    with (toy_copy / "my/phrases.txt").open("a", encoding="utf-8") as file:
        file.write("Tell me.\n")
    run_snakemake(toy_copy, *MADE, *OPTIONS)
    assert jobs_run(last_log(toy_copy)) == {"control_attacks": 1, "attack_method": 1, "evaluate_attacks": 1}
    rows = read_rows(results / "attacks/lunar.jsonl")
    assert [row["part"] for row in rows if row not in attacked] == ["phrases"]
