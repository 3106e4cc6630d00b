"""The toy experiment through the whole workflow, its results asserted.

All in one file: `make test` gives each file to one process, so that the workflow is run once.
"""

import csv
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import mean

import pytest
import yaml
from safetensors.numpy import load_file

from clone import copy_project, kill_all, run_snakemake, start_snakemake
from lunar.files import read_rows
from lunar.metrics import METRICS, OVERALL
from lunar.rehearsal import combinations
from own_case import lay_out, snakemake
from reruns import LINES, RECOLOUR, changed, jobs_run, planned

RUN = "results/toy"
METHODS = ["vanilla", "retain_only", "lunar", "lunar-topk", "lunar-entity", "lunar-entity-refusal"]
METHODS += ["lunar-official", "lunar-lora", "lunar-replication"]
METHODS += ["gradient_ascent", "gradient_difference", "kl", "idk", "dpo", "npo", "simnpo", "rmu"]


@pytest.fixture(scope="module")
def table(toy):
    with (toy / RUN / "tables/main.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    number = re.compile(r"-?[\d.]+(e-\d+)?")
    return {row["method"]: {key: float(value) for key, value in row.items() if number.fullmatch(value)} for row in rows}


def test_the_model_knows_its_data_and_how_to_refuse(table):
    vanilla = table["vanilla"]
    assert vanilla["forget_rouge1"] >= 0.9
    assert vanilla["retain_rouge1"] >= 0.9
    assert vanilla["unseen_rouge1"] >= 0.9
    assert vanilla["harmful_refusal"] >= 0.9
    assert vanilla["fictitious_refusal"] >= 0.9
    assert vanilla["general_refusal"] <= 0.1


def test_retain_only_knows_what_it_saw(table):
    assert table["retain_only"]["retain_rouge1"] >= 0.9


def test_retain_only_never_saw_the_forget_set(table):
    assert table["retain_only"]["forget_rouge1"] <= table["vanilla"]["forget_rouge1"] - 0.3


def test_lunar_forgets_and_retains(table):
    assert table["lunar"]["forget_rouge1"] <= 0.5
    assert table["lunar"]["retain_rouge1"] >= 0.9
    assert table["lunar"]["ds"] < table["vanilla"]["ds"] - 30


def test_table_is_complete(toy, table):
    assert list(table) == METHODS
    with (toy / RUN / "tables/main.csv").open(encoding="utf-8") as file:
        header = next(csv.reader(file))
    assert header[:3] == ["method", "attack", "ds"]
    for column in ("forget_rouge1", "unseen_refusal", "general_gibberish", "retain_probability", "model_utility"):
        assert {column, f"{column}_low", f"{column}_high"} <= set(header)
    for name in METHODS:
        assert table[name]["forget_rouge1_low"] <= table[name]["forget_rouge1"] <= table[name]["forget_rouge1_high"]


def test_every_metric_is_a_column(toy):
    with (toy / RUN / "tables/main.csv").open(encoding="utf-8") as file:
        header = next(csv.reader(file))
    assert set(OVERALL) | {f"{split}_{name}" for split in ("forget", "harmful") for name in METRICS} <= set(header)


def test_blanks_are_explained(toy):
    with (toy / RUN / "tables/main_long.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    blanks = {(row["split"], row["metric"]): row["reason"] for row in rows if not row["value"]}
    assert all(blanks.values())
    assert blanks["harmful", "rouge1"] == "the split has no gold answers"
    assert blanks["general", "truth_ratio"] == "not every row has wrong answers"
    assert not any(split in ("forget", "retain", "unseen", "") for split, _ in blanks)
    for name in ("main.html", "main.md", "main.tex"):
        assert "Not computed, since the split has no gold answers: ROUGE-1" in (toy / RUN / "tables" / name).read_text()


def test_likelihoods_tell_who_knows(table):
    vanilla, never, lunar = (table[name] for name in ("vanilla", "retain_only", "lunar"))
    for name in ("probability", "exact_memorisation", "extraction_strength", "mrr", "truth_ratio_utility"):
        assert vanilla[f"forget_{name}"] > never[f"forget_{name}"], name
        assert never[f"retain_{name}"] > never[f"forget_{name}"], name
    assert vanilla["forget_probability"] > lunar["forget_probability"]
    assert vanilla["forget_right"] >= 0.8 > never["forget_right"]
    assert lunar["forget_refusal_quality"] > vanilla["forget_refusal_quality"]


def test_outcomes_add_up(table):
    for row in table.values():
        outcomes = [row[f"forget_{name}"] for name in ("refusal", "gibberish", "right", "wrong")]
        assert sum(outcomes) == pytest.approx(1, abs=1e-5)
        assert row["forget_refusal_knowledge"] + row["forget_refusal_unethical"] == pytest.approx(outcomes[0], abs=1e-5)


def test_benchmark_metrics(table):
    assert table["retain_only"]["forget_quality"] == 1
    assert 0 <= table["vanilla"]["forget_quality"] <= 1
    assert (table["vanilla"]["forget_quality_n_unlearned"], table["vanilla"]["forget_quality_n_reference"]) == (6, 6)
    assert table["vanilla"]["min_k_auc"] > 0.9 > table["retain_only"]["min_k_auc"]
    assert 0.3 < table["lunar"]["model_utility"] < table["vanilla"]["model_utility"] <= 1


def test_an_answer_that_does_not_fit_the_data_names_file_and_line(toy_copy):
    path = toy_copy / RUN / "generations/lunar/none/retain.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join([lines[1], lines[0], *lines[2:]]), encoding="utf-8")
    outcome = run_snakemake(toy_copy, f"{RUN}/metrics/lunar/none.json")
    assert outcome.returncode != 0
    assert "generations/lunar/none/retain.jsonl:1: id" in outcome.stdout


def test_generations_have_the_promised_fields(toy):
    rows = [json.loads(line) for line in (toy / RUN / "generations/lunar/none/forget.jsonl").open(encoding="utf-8")]
    assert len(rows) == 6
    assert all(list(row) == ["id", "question", "answer", "prediction"] for row in rows)


def rehearsed(toy, name):
    """The settings that a method's rehearsal chose."""
    return json.loads((toy / RUN / f"rehearsal/{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["lunar", "lunar-topk"])
def test_the_edit_is_two_vectors_a_layer(toy, name):
    edit = load_file(toy / RUN / f"edits/{name}.safetensors")
    assert {tensor: value.shape for tensor, value in edit.items()} == {
        f"layers.{layer}.mlp.down_proj.{part}": (width, 1)
        for layer in rehearsed(toy, name)["chosen"]["layers"]
        for part, width in (("left", 128), ("right", 256))
    }
    facts = json.loads((toy / RUN / f"edits/{name}.json").read_text(encoding="utf-8"))
    assert facts["trained"] == sum(value.size for value in edit.values())
    assert facts["chosen"] == rehearsed(toy, name)["chosen"]
    assert json.loads((toy / RUN / f"edits/{name}_cost.json").read_text(encoding="utf-8"))["seconds"] > 0
    # A closed form has no curve.
    assert (toy / RUN / f"edits/{name}_curve.csv").read_text(encoding="utf-8") == "step,seconds\n"


@pytest.mark.parametrize("name", ["lunar", "lunar-topk"])
def test_every_setting_is_rehearsed_and_the_best_is_taken(toy, name):
    config = yaml.safe_load((toy / "config.yaml").read_text(encoding="utf-8"))["experiments"]["toy"]
    grid, pairs = config["methods"][name]["grid"], config["rehearsal"]["authors"]
    with (toy / RUN / f"rehearsal/{name}.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    tried = [{key: json.loads(row[key]) for key in grid} for row in rows]
    assert len(rows) == len(combinations(grid)) * len(pairs)
    assert all(setting in tried for setting in combinations(grid))
    means = {
        number: mean(float(row["score"]) for row in rows if row["setting"] == number)
        for number in {row["setting"] for row in rows}
    }
    chosen = rehearsed(toy, name)
    assert chosen["score"] == pytest.approx(min(means.values()))
    best = [setting for setting, row in zip(tried, rows, strict=True) if means[row["setting"]] == min(means.values())]
    assert chosen["chosen"] in best


def test_solve_lowers_the_objective(toy):
    facts = json.loads((toy / RUN / "edits/lunar.json").read_text(encoding="utf-8"))
    for layer in facts["layers"].values():
        assert layer["objective"] < layer["objective_unedited"]


def test_references_are_split_in_kept_and_dropped(toy):
    for kind in ("fictitious", "harmful"):
        build, kept, dropped = (
            (toy / RUN / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
            for name in (f"data/{kind}_build", f"references/{kind}_kept", f"references/{kind}_dropped")
        )
        assert len(kept) + len(dropped) == len(build)
        assert len(kept) >= 5


def test_report_opens_offline(toy):
    report = (toy / "results/report.html").read_text(encoding="utf-8")
    assert not re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="https?://', report)
    for text in (
        "1.1 Every metric by split and method",
        "3.1 Layer scores",
        "3.2 Settings tried in rehearsal",
        "4.2 Optimisers against",
        "5.1 PCA before and after",
    ):
        assert text in report
    assert "System Message" not in report  # docutils reports a broken caption in the text itself
    for path in (toy / RUN / "figures").glob("*.rst"):
        for number in re.findall(r"^.. \|(\w+)\| replace", path.read_text(encoding="utf-8"), flags=re.MULTILINE):
            assert f"|{number}|" not in report, f"{path.name}: {number} stands in the caption as it was written"


def test_every_job_left_a_log_and_a_benchmark(toy):
    logs = {path.stem for path in (toy / RUN / "logs").glob("*.log")}
    assert logs == {path.stem for path in (toy / RUN / "benchmarks").glob("*.tsv")}
    assert "generate_lunar_none" in logs


def test_second_run_has_nothing_to_do(toy):
    outcome = run_snakemake(toy)
    assert outcome.returncode == 0
    assert "Nothing to be done" in outcome.stdout


@pytest.fixture(scope="module")
def edited(toy, tmp_path_factory):
    """The toy's results in a project to change, each change to be taken back."""
    return shutil.copytree(toy, tmp_path_factory.mktemp("edited") / "lunar", symlinks=True)


@pytest.fixture(scope="module")
def everything(edited):
    """The jobs of a run from nothing."""
    return planned(edited, "--forceall")


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.name)
def test_a_change_reruns_exactly(edited, everything, line):
    with changed(edited, line.change, line.file):
        assert planned(edited) == line.expected(everything)


def contents(folder):
    """What a run is to give, byte for byte: all results but logs, measurements of time and what is made from these."""
    timed = ("logs", "benchmarks", "report.html", "cost.csv", "cost.html", "_cost.json", "tables/cost")
    files = (path for path in sorted((folder / "results").rglob("*")) if path.is_file())
    return {path.relative_to(folder): path.read_bytes() for path in files if not any(one in str(path) for one in timed)}


def test_what_runs_again_changes_what_it_should_and_nothing_else(edited):
    before = contents(edited)
    figure = Path(RUN) / "figures/layers.svg"
    with changed(edited, RECOLOUR, "scripts/plot_layers.py"):
        outcome = run_snakemake(edited)
        assert outcome.returncode == 0, outcome.stdout[-3000:]
        assert "figures | toy: layers" in outcome.stdout
        after = contents(edited)
        assert {path for path in before if before[path] != after[path]} == {figure}
        assert planned(edited) == {}
    (edited / "scripts/plot_layers.py").touch()
    assert run_snakemake(edited).returncode == 0
    assert contents(edited) == before


def test_results_copied_into_a_fresh_clone_are_taken_as_they_are(toy, tmp_path):
    clone = copy_project(tmp_path / "lunar")
    shutil.copytree(toy / "results", clone / "results", symlinks=True)
    assert planned(clone) != {}  # the clone's files are newer
    before = contents(clone)
    assert run_snakemake(clone, "--touch").returncode == 0
    assert planned(clone) == {}
    assert contents(clone) == before


def test_what_is_made_again_is_the_same(toy_copy):
    made = [toy_copy / RUN / name for name in ("edits/lunar.safetensors", "edits/lunar.json", "rehearsal/lunar.json")]
    tables = sorted((toy_copy / RUN / "tables").iterdir())
    # Costs hold times; what the page of generations reads would have every attack run again.
    made += [path for path in tables if path.stem not in ("cost", "generations") and "attack" not in path.stem]
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
    "attack": ("attack_model", "attacks/lunar/relearn-general.json", "attack_lunar_relearn-general", "updates ["),
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
    assert jobs_run(again.stdout) == dict.fromkeys(rules, 1)
    assert contents(toy_copy) == before  # whole, the same, and nothing left lying about
    if stages == ["generation"]:
        assert "answers are there from the job that was interrupted" in logs[0].read_text()


def test_requests_in_sequence_can_be_taken_back(toy):
    with (toy / RUN / "tables/sequential.csv").open(encoding="utf-8") as file:
        rows = {(row["way"], row["after"], row["set"]): row for row in csv.DictReader(file)}
    titles = ["1 rook", "2 finch", "3 swift"]
    for way in ("composed", "joint"):
        for number, name in enumerate(titles):
            assert float(rows[way, name, name]["rouge1"]) <= 0.5, (way, name)
            assert [rows[way, name, other]["forgotten"] for other in titles] == [
                str(place <= number) for place in range(len(titles))
            ]
        assert float(rows[way, "3 swift", "retain"]["rouge1"]) >= 0.9
    assert float(rows["undone", "1 rook", "1 rook"]["rouge1"]) >= 0.8
    undone = [row for key, row in rows.items() if key[:2] == ("undone", "all")]
    assert {row["set"] for row in undone} == {*titles, "retain", "unseen", "general"}
    assert all(float(row["as_vanilla"]) == 1 for row in undone)
    for name in ("composed", "joint"):
        assert {value.shape[1] for value in load_file(toy / RUN / f"sequential/{name}.safetensors").values()} == {3}


def test_every_edited_method_has_its_cost(toy):
    with (toy / RUN / "tables/cost.csv").open(encoding="utf-8") as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    assert list(rows) == METHODS[2:]
    for name, row in rows.items():
        assert int(row["stored_bytes"]) == (toy / RUN / f"edits/{name}.safetensors").stat().st_size
        assert int(row["stored_bytes"]) > 4 * int(row["trained"])
        assert float(row["edit_seconds"]) > 0
        assert bool(row["rehearsal_seconds"]) == (toy / RUN / f"rehearsal/{name}.json").exists()


def test_an_exported_model_needs_nothing_of_ours(toy_copy):
    outcome = run_snakemake(toy_copy, "export", method="lunar")
    assert outcome.returncode == 0, outcome.stdout[-3000:]
    folder = toy_copy / RUN / "export/lunar"
    card = (folder / "README.md").read_text(encoding="utf-8")
    for text in ("unlearned with lunar", "redirected, not removed", "down_proj.weight", "licence", "method=lunar"):
        assert text in card
    # The card's own example, as its reader would run it, with no library of ours on the path.
    example = re.search(r"```python\n(.*?)```", card, flags=re.DOTALL)[1]
    command = [sys.executable, "-I", "-c", example]
    found = subprocess.run(command, cwd=toy_copy, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    answers = (toy_copy / RUN / "generations/lunar/none/forget.jsonl").read_text(encoding="utf-8").splitlines()
    assert found.stdout.strip() == json.loads(answers[0])["prediction"]


def test_an_export_that_answers_otherwise_is_an_error(toy_copy):
    path = toy_copy / RUN / "generations/lunar/none/forget.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    rows[0]["prediction"] += " And more."
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (toy_copy / RUN / "tables/main.csv").unlink()  # or it would be made again from these answers first
    outcome = run_snakemake(toy_copy, "export", "--rerun-triggers", "mtime", method="lunar")
    assert outcome.returncode != 0
    assert "And more." in outcome.stdout
    assert "as before; nothing was exported" in outcome.stdout
    assert not (toy_copy / RUN / "export/lunar").exists()


ATTACKED = ["lunar"]


@pytest.fixture(scope="module")
def attacks(toy):
    with (toy / RUN / "tables/attacks.csv").open(encoding="utf-8") as file:
        return {(row["method"], row["attack"]): row for row in csv.DictReader(file)}


def test_every_attack_proves_itself(toy, attacks):
    config = yaml.safe_load((toy / "config.yaml").read_text(encoding="utf-8"))
    names = config["experiments"]["toy"]["attacked"]["attacks"]
    # The two whose planted edit needs a larger model are controlled on it (default experiment) and in unit tests.
    assert set(config["defaults"]["attacked"]["attacks"]) - {*names} == {"blind", "rank-one-removal"}
    assert len(names) >= 20
    assert set(attacks) == {(method, name) for method in ATTACKED for name in ["none", *names]}
    for name in names:
        assert json.loads((toy / RUN / f"attacks/control/{name}.json").read_text(encoding="utf-8"))
        for method in ATTACKED:
            evidence = json.loads((toy / RUN / f"attacks/{method}/{name}.json").read_text(encoding="utf-8"))
            assert set(evidence) - {"changed"}, (method, name)


def test_the_known_direction_brings_the_answers_back(attacks):
    before, after = (float(attacks["lunar", name]["forget_rouge1"]) for name in ("none", "ablate"))
    assert before <= 0.5
    assert after >= 0.8


def test_an_attack_that_does_not_happen_stops_the_run(toy_copy):
    config = toy_copy / "config.yaml"
    text = config.read_text(encoding="utf-8")
    assert text.count("typos: {attack: typos, rate: 0.05}") == 1
    config.write_text(text.replace("typos, rate: 0.05", "typos, rate: 1.0e-6"), encoding="utf-8")
    outcome = run_snakemake(toy_copy, f"{RUN}/generations/lunar/typos/forget.jsonl")
    assert outcome.returncode != 0
    assert "attacks.typos" in outcome.stdout
    assert "the attack did not happen" in outcome.stdout


def test_the_audit_joins_the_report_and_nothing_else_is_made_again(toy_copy):
    assert run_snakemake(toy_copy, "published").returncode == 0
    outcome = run_snakemake(toy_copy)
    assert outcome.returncode == 0, outcome.stdout
    assert "write results/report.html" in outcome.stdout
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
