"""What an experiment says of its jobs and their files, without Snakemake."""

import shutil
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from clone import ROOT
from lunar.errors import LunarError
from lunar.plan import user_files
from lunar.plan.entries import Plugins
from lunar.plan.experiment import Experiment
from lunar.plan.plan import Plan, plan
from shipped import CONFIG


@pytest.fixture(scope="module")
def planned() -> Plan:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        return plan(CONFIG | {"run": ["toy"]}, ROOT / "scripts")


@pytest.fixture(scope="module")
def toy(planned: Plan) -> Experiment:
    return planned.experiments["toy"]


@pytest.fixture(scope="module")
def default(planned: Plan) -> Experiment:
    return planned.experiments["authors-smollm2"]


def test_every_file_of_a_saved_data_set_is_an_input(toy: Experiment, planned: Plan, tmp_path: Path) -> None:
    folder = tmp_path / "rows"
    folder.mkdir()
    for name in ("state.json", "data-00000-of-00001.arrow", "cache-1.arrow"):
        (folder / name).touch()
    section = toy.settings["data"] | {"forget": [str(folder)], "names": str(folder), "fields": {"question": "prompt"}}
    found = Experiment("toy", toy.settings | {"data": section}, planned.plugins)
    files = [str(folder / name) for name in ("data-00000-of-00001.arrow", "state.json")]
    assert [path for path in found.data_files() if path.startswith(str(tmp_path))] == files
    assert found.names_files() == files
    assert "prompt" not in found.data_files()


def test_which_methods_and_attacks_there_are(toy: Experiment) -> None:
    assert toy.controls() == ["vanilla", "retain_only"]
    assert toy.edited() == toy.compared()[2:]
    assert toy.rehearsed() == [name for name in toy.edited() if "grid" in toy.methods[name]]
    assert toy.attacked() == ["lunar"] and toy.attacked_edits() == ["lunar"]
    assert toy.attacks("quantisation") == ["quantise-nf4", "quantise-rtn4"]
    assert toy.attacks("relearning") == ["relearn-half", "relearn-general"]
    assert sorted(toy.curves()) == ["layer_skip", "logit_lens", "relearning", "sampling"]
    assert toy.attack_controls("lunar") == [] and toy.drawn() == ["lunar-topk"]


def test_paths_take_every_combination(toy: Experiment) -> None:
    found = toy.paths("a/{x}_{y}.csv", x=["1", "2"], y=["p", "q"])
    assert found == [f"results/toy/a/{name}.csv" for name in ("1_p", "1_q", "2_p", "2_q")]
    assert toy.paths("a/{x}", x=[]) == []


@pytest.mark.parametrize(
    ("method", "statistics", "rows", "more"),
    [
        ("lunar", {"forget", "retain", "general", "renamed", "declined"}, False, set()),
        ("lunar-topk", {"forget", "short", "retain", "general", "renamed"}, False, set()),
        ("lunar-entity", set(), True, set()),
        ("lunar-entity-refusal", set(), True, set()),
        ("lunar-revert", set(), True, {"fictitious", "harmful"}),
        ("lunar-official", set(), True, set()),
        ("npo", set(), True, set()),
    ],
)
def test_a_method_is_given_what_it_declares(
    toy: Experiment, method: str, statistics: set[str], rows: bool, more: set[str]
) -> None:
    found = toy.statistics_needed(method)
    assert {name.removeprefix("statistics_") for name in found if name.startswith("statistics_")} == statistics
    direction = {"direction_forget", "direction_fictitious", "direction_harmful"} & set(found)
    assert bool(direction) == ("direction" in toy.methods[method])
    assert ("rows_forget" in toy.rows_needed(method)) == rows
    assert set(toy.references_needed(method)) == {f"rows_{name}" for name in more}
    assert toy.model_before(method) == ("results/models/toy" if method == "lunar-revert" else [])


def test_a_rehearsal_collects_its_own_statistics(toy: Experiment) -> None:
    assert set(toy.statistics_needed("lunar", rehearsal=True)) == {"direction_fictitious", "statistics_general"}


def test_sums_are_made_where_a_solve_starts_from_them(toy: Experiment) -> None:
    assert toy.grams_needed("vanilla", "forget") == toy.value("layers", "candidates")
    assert toy.grams_needed("vanilla", "harmful") == toy.grams_needed("lunar-topk", "forget") == []


def test_layers_are_asked_for_where_they_are_wanted(default: Experiment) -> None:
    layers = {"layers": "results/authors-smollm2/layers.json"}
    assert default.layers_needed("lunar-official") == layers
    assert default.layers_needed("lunar") == default.layers_needed("npo") == {}


def test_choices_come_from_rehearsals(default: Experiment) -> None:
    assert default.choices("lunar-entity-refusal") == {
        "lunar-entity-refusal": ["coefficient", "layers"],
        "lunar-entity-spread": ["blocks", "factor"],
    }
    assert list(default.choices("lunar-entity-refusal", own=False)) == ["lunar-entity-spread"]
    assert default.rehearsals_needed("lunar") == ["results/authors-smollm2/rehearsal/lunar.json"]


@pytest.mark.parametrize(
    ("attack", "needed"),
    [
        ("typos", {"rows_forget", "rows_retain"}),
        ("paraphrase", {"rows_forget", "rows_retain", "rows_forget_paraphrase"}),
        ("amplify", {"rows_forget", "rows_retain", "before"}),
        ("quantise-nf4", {"rows_forget", "rows_retain", "layers"}),
        (
            "reverse",
            {"rows_forget", "rows_retain", "layers"} | {f"statistics_{s}" for s in ("forget", "harmful", "fictitious")},
        ),
    ],
)
def test_an_attack_is_given_what_it_declares(planned: Plan, attack: str, needed: set[str]) -> None:
    settings = planned.experiments["authors-smollm2"].settings
    one = settings | {"attacked": settings["attacked"] | {"attacks": [attack]}}
    found = Experiment("one", one, planned.plugins)
    assert set(found.attacks_run()[attack]["inputs"]) == needed
    assert set(found.attack_inputs()) == {*needed, "files"}


def test_attacks_of_a_job_share_its_inputs(default: Experiment) -> None:
    found = default.attack_inputs()
    assert {name for how in default.attacks_run().values() for name in how["inputs"]} | {"files"} == set(found)
    assert found["rows_renamed_kept"] == "results/authors-smollm2/references/renamed_kept.jsonl"
    assert {"rows_short", "rows_renamed", "rows_general"} <= set(found)


NAMING_FILES = {
    "methods/mine.py": "from lunar.plan.declare import InputFile, Section\n@method('mine')\nclass A:\n"
    "    class Settings(Section):\n        file: InputFile\n",
    "attacks/mine.py": "from lunar.plan.declare import InputFile, Section\n@attack('mine')\nclass A:\n"
    "    class Settings(Section):\n        file: InputFile\n        other: InputFile | None = None\n",
    "metrics/mine.py": "from lunar.plan.declare import InputFile, Section\nclass Told(Section):\n    file: InputFile\n"
    "@metric('Mine', better='lower', source='here', needs=('likelihood',), settings=Told)\ndef mine(row, told): ...\n",
}


def test_files_that_settings_name_are_inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    shutil.copytree(ROOT / "scripts/lunar", tmp_path / "lunar")
    for name, text in NAMING_FILES.items():
        (tmp_path / "lunar" / name).write_text(text, encoding="utf-8")
    config = deepcopy(CONFIG) | {"run": ["toy"]}
    mine = config["experiments"]["toy"]
    mine["methods"]["mine"] = {"model": "full", "recipe": "mine", "grid": {"file": ["README.md", "LICENSE"]}}
    mine["attacks"]["mine"] = {"attack": "mine", "file": "LICENSE"}
    mine["metrics"]["answers"] = {"mine": {"file": "LICENSE"}}
    found = plan(config, tmp_path).experiments["toy"]
    assert found.files_needed("mine") == {"file_file": ["README.md", "LICENSE"]}
    assert found.files_needed("lunar") == {}
    mine["methods"]["second"] = {"model": "full", "recipe": "mine", "choices": {"mine": ["file"]}}
    assert plan(config, tmp_path).experiments["toy"].files_needed("second") == {"file_file": ["README.md", "LICENSE"]}
    del mine["methods"]["second"]
    mine["attacked"] = mine["attacked"] | {"attacks": ["mine", "typos"]}
    found = plan(config, tmp_path).experiments["toy"]
    assert found.attack_inputs()["files"] == found.attacks_run()["mine"]["files"] == ["LICENSE"]
    assert found.attacks_run()["typos"]["files"] == []
    # Under attack, where no likelihoods are known, the metric is not computed.
    assert found.metric_inputs() == ["LICENSE"] and found.metric_inputs(attacked=True) == []
    user_files.check(config, {"toy": found.settings}, Plugins.found(tmp_path), ())
    (tmp_path / "results").symlink_to(ROOT)  # what these settings name lies in the results now
    monkeypatch.setattr(user_files, "RESULTS", tmp_path / "results")
    with pytest.raises(LunarError, match=r"toy\.methods\.mine\.file: README\.md lies in results/"):
        user_files.check(config, {"toy": found.settings | {"data": {}, "model": {}}}, Plugins.found(tmp_path), ())
    monkeypatch.undo()
    monkeypatch.chdir(ROOT)
    for place, entry in (
        ("methods.mine", mine["methods"]["mine"]["grid"]),
        ("attacks.mine", mine["attacks"]["mine"]),
        ("metrics.answers.mine", mine["metrics"]["answers"]["mine"]),
    ):
        kept = entry["file"]
        entry["file"] = ["no/such"] if isinstance(kept, list) else "no/such"
        with pytest.raises(LunarError, match=rf"toy\.{place}\.file: no file no/such \(paths are relative"):
            plan(config, tmp_path)
        entry["file"] = kept


DEFAULTS = """
from lunar.methods.settings import Redirecting
from lunar.plan.declare import InputFile, Section, Text
@method('mine', needs=('statistics',))
class A:
    class Settings(Redirecting):
        class Told(Section):
            file: InputFile
        short_names: bool = True
        file: InputFile = 'LICENSE'
        several: list[InputFile] = ['README.md']
        named: dict[str, InputFile] | dict[Text, list[InputFile]] = {}
        nested: Told | None = None
"""


def test_defaults_are_planned_with(toy: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    shutil.copytree(ROOT / "scripts/lunar", tmp_path / "lunar")
    (tmp_path / "lunar/methods/mine.py").write_text(DEFAULTS, encoding="utf-8")
    config = deepcopy(CONFIG) | {"run": ["toy"]}
    lunar = toy.methods["lunar"].items()
    mine = {key: value for key, value in lunar if key not in ("grid", "short_names")}
    mine |= {"recipe": "mine", "layers": [2], "coefficient": 1.0}
    config["experiments"]["toy"]["methods"]["mine"] = mine
    found = plan(config, tmp_path).experiments["toy"]
    assert "statistics_short" in found.statistics_needed("mine")
    files = {"file_file": ["LICENSE"], "file_several": ["README.md"], "file_named": [], "file_nested": []}
    assert found.files_needed("mine") == files
    mine |= {"several": ["Makefile", "LICENSE"], "named": {"a": "README.md"}, "nested": {"file": "Snakefile"}}
    found = plan(config, tmp_path).experiments["toy"]
    assert [*found.files_needed("mine").values()] == [["LICENSE"], mine["several"], ["README.md"], ["Snakefile"]]
    (tmp_path / "lunar/methods/mine.py").write_text(DEFAULTS.replace("LICENSE", "no/such"), encoding="utf-8")
    with pytest.raises(LunarError, match=r"toy\.methods\.mine\.file: no file no/such"):
        plan(config, tmp_path)


def test_final_files(toy: Experiment, default: Experiment) -> None:
    files = toy.report_files()
    assert files[-1] == "results/toy/tables/provenance.html" and len(files) == len(set(files))
    assert {"results/toy/figures/pca_lunar-topk.svg", "results/toy/tables/sequential_lunar.csv"} <= set(files)
    assert "results/toy/figures/mixture.svg" not in files and "results/toy/tables/seeds.html" not in files
    assert "results/authors-smollm2/tables/removal.csv" in default.attack_results()


def test_an_audit_is_of_what_was_attacked_and_of_the_controls(toy: Experiment, default: Experiment) -> None:
    assert toy.audited() == ["vanilla", "retain_only", "lunar"] and len(default.audited()) > 5
    full = "results/toy/models/full"
    assert toy.audited_files() == {
        "vanilla": [full],
        "retain_only": ["results/toy/models/retain_only"],
        "lunar": [full, "results/toy/edits/lunar.safetensors"],
    }
    assert toy.audited_models() == [full, "results/toy/models/retain_only", "results/toy/edits/lunar.safetensors"]
    assert toy.audited_facts() == {"lunar": "results/toy/edits/lunar.json"}
    assert toy.audited_facts_files() == ["results/toy/edits/lunar.json"]
    assert toy.audited_removal() == ["results/toy/tables/removal.csv"]
    assert list(toy.audited_settings()["attacks"]) == toy.attacks()
    assert "results/toy/tables/audit.json" in toy.report_files()


def test_published_checkpoints_are_audited_on_what_they_were_to_forget(planned: Plan) -> None:
    field = planned.experiments["openunlearning-1b"]
    assert field.checkpoints() == [name for name in field.compared() if name != "vanilla"] == field.attacked()
    assert field.audited() == field.compared() and "results/openunlearning-1b/tables/audit.json" in field.report_files()
    files = field.audited_files()
    assert files["vanilla"] == ["results/models/openunlearning-tofu-1b"]
    assert files["their-npo"] == ["results/openunlearning-1b/checkpoints/their-npo"]
    assert field.audited_facts()["their-npo"] == "results/openunlearning-1b/checkpoints/their-npo.json"
    # forget10: the last 20 of 200 authors, with 20 rows each.
    held = CONFIG["sources"]["tofu"]["sets"]
    rows = {
        part: [held[Path(path).stem].get("rows") for path in field.settings["data"][part]]
        for part in ("forget", "retain")
    }
    assert sorted(rows["forget"]) == [[3600, 3800], [3800, 3960], [3960, 4000]]
    assert sorted(rows["retain"])[-1][1] <= 3600
    hubs = [field.checkpoint_origin(name)["hub"]["id"] for name in field.checkpoints()]
    assert all("Llama-3.2-1B-Instruct_forget10_" in one for one in hubs[1:]) and hubs[0].endswith("_retain90")


def test_logs_of_others_make_a_table(toy: Experiment, planned: Plan) -> None:
    assert toy.log_files() == [] and "results/toy/tables/open_unlearning.csv" not in toy.report_files()
    logs = {"lunar": "mine/TOFU_EVAL.json"}
    logged = Experiment("toy", dict(toy.settings) | {"evaluation_logs": logs}, planned.plugins)
    assert logged.log_files() == ["mine/TOFU_EVAL.json"] and logged.evaluation_logs() == logs
    assert "results/toy/tables/open_unlearning.csv" in logged.report_files()


def test_an_experiment_without_attacks_has_none_of_their_files(planned: Plan) -> None:
    settings: dict[str, Any] = planned.experiments["toy"].settings
    bare = Experiment("toy", settings | {"attacked": settings["attacked"] | {"methods": []}}, planned.plugins)
    assert bare.attacks() == bare.attack_files() == bare.attack_results() == []


def test_seeds_are_experiments_of_their_own(planned: Plan) -> None:
    seeds = planned.experiments["authors-smollm2-seeds"]
    assert list(seeds.seeds()) == ["0", "1", "2"]
    assert seeds.of_seeds("tables/main.csv")[1] == "results/authors-smollm2-seeds@1/tables/main.csv"
    assert seeds.of_seeds("tables/nothing.csv") == []


def test_a_larger_model_asks_for_more(planned: Plan, default: Experiment) -> None:
    large = planned.experiments["tofu-llama2-7b"]
    assert default.megabytes(3500, sums=True) == 3500 and default.minutes(30) == 30
    assert large.megabytes(3500) > 20_000 and large.minutes(30) > 200
    assert large.megabytes(3500, sums=True) > large.megabytes(3500)
    assert default.edit_megabytes("lunar") == 2000 < default.edit_megabytes("npo") == 3500
    assert large.base.local() == {
        "name": "tofu-llama2-7b",
        "source": "path",
        "folder": "results/hub/tofu-llama2-7b",
    } | {"disk_gb": 0}
    assert planned.bases["toy"].downloaded == [] and planned.bases["toy"].corpus[0] == "data/toy/rook.jsonl"
