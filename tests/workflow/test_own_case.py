"""The page own.md: the walk-through with a model and data of one's own: its configuration and its commands."""

import re
import shlex
from copy import deepcopy
from pathlib import Path

import pytest

from clone import ROOT
from lunar.model.fetch import from_random
from own_case import COMMANDS, PAGE, lay_out, snakemake
from shipped import CONFIG


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """The same with a tiny random model that says how to be talked to."""
    project = lay_out(tmp_path / "lunar")
    (project / "my/model").mkdir()
    toy = deepcopy(CONFIG)["experiments"]["toy"]["model"]
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
        assert not {"finetune", "rehearse", "race", "attack_method", "unlearn_in_sequence"} & set(planned)
    assert "export_model" in export
    assert not (mine / "results/mine").exists()


def test_a_model_without_a_chat_template_is_found_out(mine: Path) -> None:
    for path in (*(mine / "my/model").glob("*chat_template*"), mine / "my/model/tokenizer_config.json"):
        path.unlink(missing_ok=True)
    with pytest.raises(AssertionError, match="has no chat template"):
        snakemake(mine, *shlex.split(COMMANDS[0])[1:])
