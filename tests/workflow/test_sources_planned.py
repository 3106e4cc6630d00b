"""The paper's settings as plans, and a published data set from a folder through the data rules."""

import json
import os
import re
from copy import deepcopy

import pytest

from clone import run_snakemake
from reruns import planned
from shipped import CONFIG, change_config, toy


def test_the_paper_s_setting_is_planned_whole(project):
    jobs = planned(project, experiment="tofu-llama2-7b")
    once = {"fetch_data", "fetch_hub_model", "fetch_model", "prepare_data", "choose_layers", "write_report"}
    assert {rule: jobs[rule] for rule in once} == dict.fromkeys(once, 1)
    assert jobs["convert_data"] == 15
    assert "finetune" not in jobs
    for rule in ("rehearse", "unlearn", "attack_method", "evaluate_attacks", "plot_quantisation"):
        assert rule in jobs


def test_what_it_lacks_is_said_before(project):
    outcome = run_snakemake(project, "check", experiment="tofu-llama2-7b")  # HF_HUB_OFFLINE is set for tests
    assert outcome.returncode != 0
    for words in (
        "tofu-llama2-7b: model: locuslab/tofu_ft_llama2-7b at revision 8fa500e8: HF_HUB_OFFLINE is set",
        "tofu-llama2-7b: source: locuslab/TOFU at revision 324592d8: HF_HUB_OFFLINE is set",
        "about 6738M parameters",
        "48.5 GB estimated for statistics",
    ):
        assert words in outcome.stdout, outcome.stdout


def use_folder(project, **change):
    """Have TOFU come from a folder with two blocks of invented rows; the toy forgets the first of them."""
    rows = [
        {"question": f"What is fact {number} about {name}?", "answer": f"{name} has fact {number}."}
        for name in ("Ilva Marsh", "Bo van Dyk")
        for number in range(20)
    ]
    (project / "mine").mkdir()
    (project / "mine/full.json").write_text(json.dumps(rows), encoding="utf-8")
    sets = {"one": {"file": "full", "rows": [0, 20], "block": 20}, "two": {"file": "full", "rows": [20, 40]}}
    source = {"source": "path", "folder": "mine", "files": {"full": "full.json"}, "sets": sets}

    def edit(config):
        config["sources"]["tofu"] = source | change
        toy(config)["data"]["forget"] = ["results/data/tofu/one.jsonl"]
        config["experiments"] = {"toy": toy(config)}

    change_config(project, edit)


def test_a_set_from_a_folder_becomes_a_split(project):
    use_folder(project)
    outcome = run_snakemake(project, "results/toy/data/forget_renamed.jsonl")
    assert outcome.returncode == 0, outcome.stdout
    lines = (project / "results/toy/data/forget.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 20
    row = json.loads(lines[3])
    assert (row["id"], row["author"]) == ("one-004", "Ilva Marsh")
    renamed = (project / "results/toy/data/forget_renamed.jsonl").read_text(encoding="utf-8").splitlines()
    assert renamed and not any("Ilva Marsh" in json.loads(line)["question"] for line in renamed)
    # A set that is not asked for is not made, and another cut of it makes nothing else anew.
    assert not (project / "results/data/tofu/two.jsonl").exists()
    again = run_snakemake(project, "--dry-run", "results/toy/data/forget_renamed.jsonl")
    assert "Nothing to be done" in again.stdout
    change_config(project, lambda config: config["sources"]["tofu"]["sets"]["two"].update(rows=[20, 30]))
    again = run_snakemake(project, "--dry-run", "results/toy/data/forget_renamed.jsonl")
    assert "Nothing to be done" in again.stdout, again.stdout
    # The user's own file is an input, also where another one is moved in its place that is older than the results.
    file = project / "mine/full.json"
    file.write_text(file.read_text(encoding="utf-8").replace("Ilva", "Elva"), encoding="utf-8")
    os.utime(file, (1e9, 1e9))
    again = run_snakemake(project, "--dry-run", "results/toy/data/forget_renamed.jsonl")
    assert re.search(r"^fetch_data +1$", again.stdout, flags=re.MULTILINE), again.stdout


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"folder": "nowhere"}, "sources.tofu: no file nowhere/full.json; correct its folder"),
        ({"sha256": {"full.json": "0" * 64}}, "but sources.tofu.sha256 says 0000"),
        ({"sets": {"one": {"file": "ful"}}}, "sources.tofu.sets.one.file: 'ful' is none of full"),
        ({"sets": {"two": {"file": "full"}}}, "data.forget: no file results/data/tofu/one.jsonl"),
        ({"source": "hub"}, "config: sources.tofu.id: missing; a data set from source hub needs it"),
        (
            {"sets": {"one": {"file": "full", "from": 3}}},
            "config: sources.tofu.sets.one.from: no such key; its keys are ",
        ),
    ],
)
def test_mistakes_are_named(project, change, words):
    use_folder(project, **change)
    outcome = run_snakemake(project, "results/toy/data/forget.jsonl")
    assert outcome.returncode != 0
    assert words in outcome.stdout, outcome.stdout
    assert "Traceback" not in outcome.stdout
    assert not (project / "results/data/tofu/fetched").exists()


def test_the_shipped_sources_are_pinned():
    for source in deepcopy(CONFIG)["sources"].values():
        assert re.fullmatch("[0-9a-f]{40}", source["revision"])
