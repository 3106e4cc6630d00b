"""What belongs to the user is an input, and never lies where runs write."""

import os
from base64 import b64encode
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from lunar.errors import LunarError
from lunar.plan import user_defaults, user_files
from lunar.plan.base_model import Base
from shipped import CONFIG, PLUGINS

RESOLVED = user_defaults.resolve(CONFIG, PLUGINS)
MODEL = {"name": "mine", "source": "path"}


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A work folder with results and a folder of the user's."""
    for name in ("work/results/models/mine", "work/my/model"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work")
    user_files.state.cache_clear()
    return tmp_path / "work"


def check(change: dict[str, Any], **whole: Any) -> None:
    """Check the shipped configuration with another model, embedder or data in the toy, or other sections beside it."""
    experiment = deepcopy(RESOLVED["toy"])
    experiment["data"] |= change.pop("data", {})
    user_files.check(CONFIG | whole, {"toy": experiment | change}, PLUGINS, {"results/data/s/a.jsonl"})


def refused(key: str, change: dict[str, Any], **whole: Any) -> None:
    with pytest.raises(LunarError, match=f"^{key}: .+ lies in results/, where runs write and delete; move it"):
        check(change, **whole)


@pytest.mark.parametrize(
    "folder",
    [
        "results/models/mine",
        "results",
        "./my/../results/models/mine",
        "Results/Models/mine",
        "results/nothing/there",
        "link",
        "absolute",
    ],
)
def test_a_model_in_the_results_is_refused(work: Path, folder: str) -> None:
    (work / "link").symlink_to("results/models/mine")
    folder = str(work / "results/models/mine") if folder == "absolute" else folder
    refused(r"experiments\.toy\.model\.folder", {"model": MODEL | {"folder": folder}})


def test_a_log_in_the_results_is_refused() -> None:
    change = {"evaluation_logs": {"lunar": "results/TOFU_EVAL.json"}}
    refused(r"experiments\.toy\.evaluation_logs\.lunar", change)


def test_results_that_are_links_are_still_results(work: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    (disk / "mine").mkdir(parents=True)
    (work / "results/models/mine").rmdir()
    (work / "results/models").rmdir()
    (work / "results/models").symlink_to(disk)
    refused(r"experiments\.toy\.model\.folder", {"model": MODEL | {"folder": str(disk / "mine")}})
    (work / "results/models").unlink()
    (work / "results").rmdir()
    (work / "results").symlink_to(disk)
    refused(r"experiments\.toy\.model\.folder", {"model": MODEL | {"folder": str(disk / "mine")}})


def test_everything_that_names_files_is_looked_at(work: Path) -> None:
    path = "results/toy/data/forget.jsonl"
    refused(r"experiments\.toy\.data\.forget", {"data": {"forget": ["my/a.jsonl", path]}})
    refused(r"experiments\.toy\.data\.names", {"data": {"names": path}})
    refused(r"experiments\.toy\.model\.corpus", {"model": MODEL | {"source": "random", "corpus": [path]}})
    refused(r"experiments\.toy\.embedder\.name", {"embedder": {"source": "path", "name": "results/hub/e"}})
    refused(r"published\.path", {}, published=CONFIG["published"] | {"path": "results/published"})
    source = {"source": "path", "folder": "results/data/s/fetched", "files": {}, "sets": {}}
    refused(r"sources\.s\.folder", {}, sources={"s": source})


def test_a_folder_that_no_run_has_made_is_not_replaced(work: Path) -> None:
    made = {"results/models/mine": "results/probes/mine.json", "results/hub/mine": "results/benchmarks/mine.tsv"}
    user_files.check_made(made)  # one is empty, the other absent
    (work / "results/models/mine/config.json").touch()
    with pytest.raises(LunarError, match=r"^results/models/mine: lies there without results/probes/mine\.json, "):
        user_files.check_made(made)
    begun = work / ".snakemake/incomplete" / b64encode(b"results/models/mine").decode()
    begun.parent.mkdir(parents=True)
    begun.touch()
    user_files.check_made(made)  # what a killed job left
    begun.unlink()
    (work / "results/probes").mkdir()
    (work / "results/probes/mine.json").touch()
    user_files.check_made(made)


def test_what_lies_elsewhere_is_taken(work: Path) -> None:
    check({"model": MODEL | {"folder": "my/model"}, "data": {"forget": ["results/data/s/a.jsonl", "resultsx/a.jsonl"]}})
    check({"model": MODEL | {"folder": "."}})
    with pytest.raises(LunarError, match=r"embedder\.name: \. holds results/"):
        check({"embedder": {"source": "path", "name": "."}})
    with pytest.raises(LunarError, match=r"data\.general: my/\{a\}\.jsonl has a brace"):
        check({"data": {"general": "my/{a}.jsonl"}})


def test_the_files_of_a_folder_are_inputs_but_for_hidden_ones(work: Path) -> None:
    folder = work / "my/model"
    for name in ("config.json", ".DS_Store", "a b.safetensors", "1_Pooling/config.json", ".git/config"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    found = Base(MODEL | {"folder": "my/model"}).files
    assert found == ["my/model/a b.safetensors", "my/model/config.json"]
    beneath = sorted([*found, "my/model/1_Pooling/config.json"])
    assert user_files.of_embedder({"source": "path", "name": "my/model"}) == beneath
    assert user_files.of_embedder({"source": "package", "name": "my/model"}) == []
    assert Base(MODEL | {"folder": "my/nothing"}).files == []
    assert Base({"name": "mine", "source": "hub"}).files == []


def test_a_file_in_place_of_another_is_seen_whatever_its_time(work: Path) -> None:
    small, large = work / "my/a.jsonl", work / "my/weights"
    found = []
    for content in (b"1", b"2", b"2" * 10**6, b"3" * 10**6):
        for path in (small, large):
            path.write_bytes(content)
            os.utime(path, (1e9, 1e9 + len(found)))
        user_files.state.cache_clear()
        found.append((user_files.state(str(small)), user_files.state(str(large))))
    assert len(set(found)) == 4
    os.utime(small, (5, 5))
    small.write_bytes(b"1")
    user_files.state.cache_clear()
    assert user_files.state("my/a.jsonl") == found[0][0]  # of a small one the content alone


def test_states_are_those_of_the_user_s_files(work: Path) -> None:
    for name in ("my/a.jsonl", "results/a.jsonl", "scripts/lunar/a.py", "report/a.rst"):
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).touch()
    inputs = ["my/a.jsonl", "results/a.jsonl", "scripts/lunar/a.py", "report/a.rst", "my/model", "my/absent"]
    assert list(user_files.states(inputs, work)) == ["my/a.jsonl"]


def test_shipped_data_that_the_work_folder_has_not_is_the_project_s(work: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    for path in (project / "data/a.jsonl", project / "data/b.jsonl", work / "data/b.jsonl"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    config = {"data": {"forget": ["data/a.jsonl", "data/b.jsonl", "data/none.jsonl"]}, "seed": 3, "prompt": "data/"}
    found = user_files.in_project(config, project)
    assert found["data"] == {"forget": ["../project/data/a.jsonl", "data/b.jsonl", "data/none.jsonl"]}
    assert found | {"data": config["data"]} == config
