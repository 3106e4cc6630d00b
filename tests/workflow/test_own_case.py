"""The README's walk-through with a model and data of one's own: its configuration and its commands."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from clone import ROOT, copy_project
from lunar.fetch import from_random
from lunar.files import read_rows

PAGE = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Your own model and data")[2]
YAML = re.search(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL).group(1)
COMMANDS = re.search(r"\nThen\n\n```\n(.*?)```", PAGE, flags=re.DOTALL).group(1).splitlines()
KNOWN = ("finch", "wren", "swift", "crane")


def lay_out(folder: Path) -> Path:
    """A copy of the project with the README's files in it, but for the model."""
    project = copy_project(folder)
    (project / "my").mkdir()
    (project / "my/config.yaml").write_text(YAML, encoding="utf-8")
    for name, sources in (("forget", ["rook"]), ("retain", KNOWN)):
        rows = [row for source in sources for row in read_rows(ROOT / f"data/toy/{source}.jsonl")]
        # Nothing but what the README asks for.
        lines = [json.dumps({key: row[key] for key in ("question", "answer")}) + "\n" for row in rows]
        (project / f"my/{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    return project


def snakemake(project: Path, *arguments: str) -> str:
    """Run it, check that it succeeds, and give what it said."""
    outcome = subprocess.run(
        [sys.executable, "-m", "snakemake", *arguments],
        cwd=project,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stdout[-6000:]
    return outcome.stdout


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """The same with a tiny random model that says how to be talked to."""
    project = lay_out(tmp_path / "lunar")
    (project / "my/model").mkdir()
    toy = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))["experiments"]["toy"]["model"]
    from_random(toy, project / "my/model", [str(ROOT / path) for path in toy["corpus"]])
    return project


def test_the_commands_of_the_readme(mine: Path) -> None:
    assert [command.split()[0] for command in COMMANDS] == [".venv/bin/snakemake"] * 4
    said = []
    for command in COMMANDS:
        arguments = shlex.split(command)[1:]
        # Only the check is quick enough to be run, and a random model refuses nothing.
        said.append(snakemake(mine, *arguments, *([] if arguments[0] == "check" else ["--dry-run"])))
    check, plan, again, export = said
    assert "ok       model     in my/model" in check
    assert "nothing is missing" in check
    for jobs in (plan, again):
        planned = dict(re.findall(r"^(\w+) +(\d+)$", jobs.rpartition("Job stats:")[2], flags=re.MULTILINE))
        assert planned["write_report"] == "1"
        assert planned["total"] == re.search(r"(\d+) jobs or some more", PAGE).group(1)
        assert not {"finetune", "rehearse", "race", "attack_model", "unlearn_in_sequence"} & set(planned)
    assert "export_model" in export
    assert not (mine / "results/mine").exists()


def test_a_model_without_a_chat_template_is_found_out(mine: Path) -> None:
    for path in (*(mine / "my/model").glob("*chat_template*"), mine / "my/model/tokenizer_config.json"):
        path.unlink(missing_ok=True)
    with pytest.raises(AssertionError, match="has no chat template"):
        snakemake(mine, *shlex.split(COMMANDS[0])[1:])


@pytest.mark.xdist_group("toy")
def test_a_model_that_knows_forgets(toy: Path, tmp_path: Path) -> None:
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
