"""The examples of docs/extending.md are declared and configured as planning asks for; tests/e2e runs them."""

import re
import shutil
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import pytest

import examples
from clone import ROOT
from lunar.errors import LunarError
from lunar.plan.entries import Plugins
from lunar.plan.experiment import Experiment
from lunar.plan.experiments import merge
from lunar.plan.plan import plan
from lunar.plan.plugins import NEEDS
from shipped import CONFIG, PLUGINS


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the library, the data and the examples."""
    for folder in ("scripts/lunar", "data"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    examples.lay_out(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def toy(project: Path) -> Experiment:
    config = merge(deepcopy(CONFIG), examples.CONFIG) | {"run": ["toy"]}
    return plan(config, project / "scripts").experiments["toy"]


def test_every_file_and_every_entry_was_found() -> None:
    folders = [str(Path(path).parent) for path in examples.FILES]
    library = "scripts/lunar"
    assert folders == [f"{library}/methods", f"{library}/methods", f"{library}/attacks", "my", f"{library}/metrics"]
    assert set(examples.CONFIG["experiments"]["toy"]) == {"methods", "attacks", "metrics", "compare", "attacked"}


def test_they_are_declared(project: Path) -> None:
    found = Plugins.found(project / "scripts")
    assert set(found.methods) == {*PLUGINS.methods, "bounded_ascent", "sparing"}
    assert set(found.attacks) == {*PLUGINS.attacks, "phrases"}
    assert set(found.answers) == {*PLUGINS.answers, "verbatim"}
    for plugin in (*found.methods.values(), *found.attacks.values(), *found.answers.values()):
        assert plugin.summary.endswith("."), plugin.name
        assert all(field.description for field in plugin.settings.model_fields.values()), plugin.name


def test_they_are_configured(toy: Experiment) -> None:
    assert toy.compared()[2:] == ["lunar", "bounded", "sparing"] and toy.attacks() == ["phrases"]
    assert toy.choices("bounded") == {"bounded": ["bound"]}
    assert set(toy.statistics_needed("sparing")) == {
        *("direction_fictitious", "direction_forget"),
        *(f"statistics_{name}" for name in ("forget", "general", "retain")),
    }
    assert toy.attack_inputs()["files"] == ["my/phrases.txt"]
    assert dict(toy.measured()["answers"])["verbatim"] == {"words": 4}
    assert "lunar.metrics.verbatim" in toy.metric_modules(attacked=True)


def test_files_that_commands_ask_for_are_made(toy: Experiment) -> None:
    asked = re.findall(r"-- (results/\S+)", examples.PAGE)
    assert len(asked) == 2 and {*asked} <= {*toy.attack_metrics("metrics/{method}/{attack}.json")}


def test_a_file_that_is_not_there_is_refused(toy: Experiment, project: Path) -> None:
    (project / "my/phrases.txt").unlink()
    with pytest.raises(LunarError, match=r"toy\.attacks\.phrases\.file: no file my/phrases\.txt"):
        plan(merge(deepcopy(CONFIG), examples.CONFIG), project / "scripts")


def test_the_table_has_every_need() -> None:
    _, *rows = re.findall(r"^\| (`.*?`|nothing) \|(.*?)\|(.*?)\|$", examples.PAGE, flags=re.MULTILINE)
    for kind, column in (("method", 1), ("attack", 2)):
        named = [need for row in rows if row[column].strip() for need in re.findall(r"`(\w+)`", row[0])]
        assert sorted(named) == sorted(NEEDS[kind])
    assert set(NEEDS["metric"]) <= set(re.findall(r"`(\w+)`", examples.PAGE.partition("A metric needs")[2]))


@pytest.mark.parametrize("command", ["check", "format --check"])
def test_they_are_in_the_project_s_style(project: Path, command: str) -> None:
    shutil.copy(ROOT / "pyproject.toml", project)
    run = [sys.executable, "-m", "ruff", *command.split(), "--no-cache", *examples.CODE]
    done = subprocess.run(run, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
