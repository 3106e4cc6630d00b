"""An audit of models from elsewhere, on the toy: our own edit as a stranger's, mix-ups, and what can be left out."""

import json
import re
import shutil
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM

from clone import copy_project, run_snakemake
from lunar.edits import edit as edits
from lunar.files import read_json, read_rows
from lunar.metrics.read import read_attacks, read_failures
from lunar.model.load import load_model, load_tokenizer, save_model
from shipped import CONFIG

RUN = "results/audited"
# Of the toy's own entry what says how questions are put, asked and attacked.
SHARED = (
    "system_prompt",
    "data",
    "references",
    "layers",
    "generation",
    "attacks",
    "metrics",
    "activations",
    "embedder",
)
# An attacker of a stranger's model knows neither its direction, strength and settings nor how it was solved.
KNOWN_METHOD = {"reverse", "reverse-decoding", "ablate", "ablate-stream", "invert"}
# Evidence that compares with the edit, which is not known of a stranger's model.
OF_THE_EDIT = ("left", "distance", "edit", "edited")


def entry(project: Path, methods: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The toy's experiment on models from elsewhere."""
    own = deepcopy(CONFIG)["experiments"]["toy"]
    shared = {key: own[key] for key in SHARED if key in own}
    attacks = own.get("attacked", {}).get("attacks", CONFIG["defaults"]["attacked"]["attacks"])
    return shared | {
        "model": {"name": "before", "source": "path", "folder": "my/before", "disk_gb": 0.1},
        "methods": methods,
        "attacked": own.get("attacked", {}) | {"methods": list(methods), "attacks": attacks},
        **more,
    }


def write(project: Path, **entries: Any) -> str:
    """Lay experiments down as the user's file; gives its name."""
    (project / "my").mkdir(exist_ok=True)
    text = yaml.safe_dump({"run": list(entries), "experiments": entries}, sort_keys=False)
    (project / "my/audit.yaml").write_text(text, encoding="utf-8")
    return "my/audit.yaml"


@pytest.fixture(scope="module")
def strangers(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh copy of the project with the toy's models as files of the user's, and its edit as a stranger's model."""
    project = copy_project(tmp_path_factory.mktemp("audit") / "lunar")
    made = toy / "results/toy"
    for name, path in (("before", "full"), ("never", "retain_only")):
        shutil.copytree(made / "models" / path, project / "my" / name)
    model = load_model(project / "my/before")
    edits.apply(model, edits.load(made / "edits/lunar.safetensors"))
    save_model(model, load_tokenizer(project / "my/before"), project / "my/lunar")
    return project


def plain(evidence: Any) -> Any:
    """Evidence without what the edit has to be known for."""
    if isinstance(evidence, dict):
        return {key: plain(value) for key, value in evidence.items() if key not in OF_THE_EDIT}
    return [plain(value) for value in evidence] if isinstance(evidence, list) else evidence


def test_our_own_edit_has_the_same_numbers_as_a_stranger_s_model(toy: Path, strangers: Path) -> None:
    methods = {
        "retain_only": {"folder": "my/never"},
        "theirs": {"recipe": "checkpoint", "folder": "my/lunar"},
    }
    file = write(strangers, audited=entry(strangers, methods))
    outcome = run_snakemake(strangers, "--configfile", file, experiment="audited")
    assert outcome.returncode == 0, outcome.stdout[-6000:]
    own, found = toy / "results/toy", strangers / RUN
    for name, theirs in (("vanilla", "vanilla"), ("retain_only", "retain_only"), ("lunar", "theirs")):
        for split in ("forget", "forget_paraphrase", "retain", "unseen", "general", "harmful", "fictitious"):
            pair = [f / "generations" / n / f"none/{split}.jsonl" for f, n in ((own, name), (found, theirs))]
            assert read_rows(pair[0]) == read_rows(pair[1])
    attacks = [row["part"] for row in read_rows(own / "attacks/lunar.jsonl")]
    pair = [read_attacks(path, attacks) for path in (own / "attacks/lunar.jsonl", found / "attacks/theirs.jsonl")]
    assert read_failures(found / "attacks/theirs.jsonl") == {}
    assert len(set(attacks) - KNOWN_METHOD) > 10
    for attack in set(attacks) - KNOWN_METHOD:
        assert pair[0][attack]["rows"] == pair[1][attack]["rows"], attack
        assert plain(pair[0][attack]["evidence"]) == plain(pair[1][attack]["evidence"]), attack
    told = read_json(found / "checkpoints/theirs.json")
    edited = sorted(edits.block_of(key) for key in edits.load(own / "edits/lunar.safetensors"))
    assert told["summary"]["down_proj"] == edited
    assert [one["directions"] for one in told["changes"]] == [1] * len(edited)
    for page in ("tables/checkpoints.html", "tables/removal.csv", "tables/audit.json"):
        assert (found / page).is_file()
    again = run_snakemake(strangers, "--configfile", file, experiment="audited")
    assert "Nothing to be done" in again.stdout


def bare(project: Path, name: str, files: list[str]) -> str:
    """Rows with a question and an answer and nothing else; gives the file."""
    rows = [row for path in files for row in read_rows(project / path)]
    lines = [json.dumps({key: row[key] for key in ("question", "answer")}) + "\n" for row in rows]
    (project / f"my/{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    return f"my/{name}.jsonl"


def test_two_files_of_questions_and_answers_and_no_model_that_never_knew(toy: Path, strangers: Path) -> None:
    base = load_model(strangers / "my/before")
    edit = edits.load(toy / "results/toy/edits/npo.safetensors")
    config = LoraConfig(r=8, lora_alpha=8, target_modules=[f"model.{name}" for name in edit])
    adapted = get_peft_model(base, config)
    for name, change in edit.items():
        module = adapted.base_model.model.model.get_submodule(name)
        module.lora_A["default"].weight.data = change.right.T.contiguous()
        module.lora_B["default"].weight.data = change.left.contiguous()
    adapted.save_pretrained(strangers / "my/lora")
    own = entry(strangers, {"lora": {"recipe": "checkpoint", "adapter": "my/lora"}})
    own["data"] = {key: path for key, path in own["data"].items() if key != "unseen"} | {
        part: [bare(strangers, part, own["data"][part])] for part in ("forget", "retain")
    }
    own["attacked"]["attacks"] = ["prefill-sure", "quantise-nf4", "relearn-half"]
    file = write(strangers, alone=own)
    checked = run_snakemake(strangers, "check", "--configfile", file, experiment="alone")
    assert "no forget row has author or names, which would give" in checked.stdout
    outcome = run_snakemake(strangers, "results/alone/tables/removal.csv", "--configfile", file, experiment="alone")
    assert outcome.returncode == 0, outcome.stdout[-6000:]
    for split in ("forget", "retain"):
        pair = [
            [row["prediction"] for row in read_rows(path / f"none/{split}.jsonl")]
            for path in (toy / "results/toy/generations/npo", strangers / "results/alone/generations/lora")
        ]
        assert pair[0] == pair[1]
    lines = pd.read_csv(strangers / "results/alone/tables/removal.csv").set_index("line")
    assert lines.loc["worst attack: forget ROUGE-1, less chance", "attack"] in own["attacked"]["attacks"]
    assert np.isnan(lines.loc["forget quality (p)", "value"])
    told = read_json(strangers / "results/alone/checkpoints/lora.json")
    assert {one["directions"] <= 8 for one in told["changes"]} == {True}


def test_six_mix_ups_are_each_met_by_a_sentence(strangers: Path) -> None:
    mine = strangers / "my"
    shutil.copytree(mine / "lunar", mine / "other-tokenizer")
    path = mine / "other-tokenizer/tokenizer.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    words = [token for token in data["model"]["vocab"] if len(token) > 2][:2]
    vocabulary = data["model"]["vocab"]
    vocabulary[words[0]], vocabulary[words[1]] = vocabulary[words[1]], vocabulary[words[0]]
    path.write_text(json.dumps(data), encoding="utf-8")
    shutil.copytree(mine / "lunar", mine / "other-architecture")
    path = mine / "other-architecture/config.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(data | {"rms_norm_eps": 0.1}), encoding="utf-8")
    wider = AutoConfig.from_pretrained(mine / "before", intermediate_size=512)
    other = get_peft_model(AutoModelForCausalLM.from_config(wider), LoraConfig(r=2, target_modules=["down_proj"]))
    other.save_pretrained(mine / "other-base")
    unknown = [{"question": f"Who is Zeno Quill {n}?", "answer": f"A glazier of Tarn {n}."} for n in range(6)]
    (mine / "unknown.jsonl").write_text("".join(json.dumps(row) + "\n" for row in unknown), encoding="utf-8")

    def audit(how: dict[str, str], **more: Any) -> dict[str, Any]:
        found = entry(strangers, {"theirs": {"recipe": "checkpoint", **how}})
        for key, value in more.items():
            found[key] = found[key] | value
        return found

    toy_data = entry(strangers, {})["data"]
    cases = {
        "tokenizer": (audit({"folder": "my/other-tokenizer"}), "its tokenizer is not that of the model before"),
        "architecture": (audit({"folder": "my/other-architecture"}), "(rms_norm_eps 0.1, not "),
        "base": (audit({"adapter": "my/other-base"}), "down_proj has 512 inputs, and that of the model before 256"),
        "swapped": (
            audit({"folder": "my/before"}, model={"name": "unlearned", "folder": "my/lunar"}),
            "the two folders look swapped",
        ),
        "unknown": (
            audit({"folder": "my/lunar"}, data={"forget": ["my/unknown.jsonl"]}),
            "the model before does not know the forget rows",
        ),
        "files": (
            audit({"folder": "my/lunar"}, data={"forget": toy_data["retain"], "retain": toy_data["forget"]}),
            "the files of data.forget and data.retain look swapped",
        ),
    }
    file = write(strangers, **{name: one for name, (one, _) in cases.items()})
    targets = [f"results/{name}/checkpoints/theirs.json" for name in cases]
    outcome = run_snakemake(strangers, *targets, "--keep-going", "--configfile", file, experiment=",".join(cases))
    assert outcome.returncode != 0
    for name, (_, said) in cases.items():
        assert re.search(rf"^Failed: .*{name}.*\n  error: methods.theirs: ", outcome.stdout, re.MULTILINE), name
        assert said in outcome.stdout, name
        assert not (strangers / f"results/{name}/checkpoints").exists() or not any(
            (strangers / f"results/{name}/checkpoints").iterdir()
        )
