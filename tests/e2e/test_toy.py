"""The toy experiment through the whole workflow, its results asserted."""

import csv
import json
import re
from statistics import mean

import pytest
from safetensors.numpy import load_file

from clone import run_snakemake
from lunar.data.checksum import sha256
from lunar.methods.rehearsal import combinations
from lunar.metrics.read import read_attacks
from lunar.metrics.text import degenerate
from lunar.pages.audit_schema import read_audit
from shipped import CONFIG

RUN = "results/toy"
METHODS = ["vanilla", "retain_only", "lunar", "lunar-topk", "lunar-entity", "lunar-entity-refusal"]
METHODS += ["lunar-revert", "lunar-official", "lunar-lora", "lunar-replication"]
METHODS += ["gradient_ascent", "idk", "dpo", "npo", "simnpo", "rmu"]


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


def test_what_is_taken_back_is_not_likely_either(table):
    """A refusal leaves the gold answers likely; what fine-tuning wrote being taken back, they are not."""
    assert table["lunar-revert"]["forget_rouge1"] < 0.3
    assert table["lunar-revert"]["forget_probability"] < 0.3 * table["lunar"]["forget_probability"]


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
    chosen = CONFIG["defaults"]["metrics"]
    answers = [f"{split}_{name}" for split in ("forget", "harmful") for name in chosen["answers"]]
    assert {*chosen["methods"], *answers} <= set(header)


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


def test_generations_have_the_promised_fields(toy):
    rows = [json.loads(line) for line in (toy / RUN / "generations/lunar/none/forget.jsonl").open(encoding="utf-8")]
    assert len(rows) == 6
    assert all(list(row)[:4] == ["id", "question", "answer", "prediction"] for row in rows)
    assert all({*row} - {"cut"} == {"id", "question", "answer", "prediction"} for row in rows)


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
    config = CONFIG["experiments"]["toy"]
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


def test_a_refusal_is_left_to_end(toy):
    """What declined questions are kept in place for: the edit is over where the refusal has begun."""

    def read(path: str) -> list[dict]:
        return [json.loads(line) for line in (toy / RUN / path).open(encoding="utf-8")]

    declined, forget = read("data/forget_declined.jsonl"), read("data/forget.jsonl")
    assert [row["question"] for row in declined] == [row["question"] for row in forget]
    known = {row["answer"] for row in read("data/refusals_build.jsonl") if row["kind"] == "knowledge"}
    assert {row["answer"] for row in declined} <= known
    facts = json.loads((toy / RUN / "edits/lunar.json").read_text(encoding="utf-8"))
    for layer in facts["layers"].values():
        assert layer["detector"]["declined answer"] < 0.05 < layer["detector"]["forget redirected"]
    # Of so small a model an answer or two hang on how a processor rounds.
    answers = [degenerate(row["prediction"]) for row in read("generations/lunar/none/forget.jsonl")]
    assert sum(answers) < len(answers) / 2


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
        "0.1 Rows, and what cleaning kept",
        "1.1 Every metric by split and method",
        "3.1 Layer scores",
        "3.2 Settings tried in rehearsal",
        "4.2 Optimisers against",
        "4.3 Token by token",
        "4.4 The entity edit",
        "5.1 PCA before and after",
        "9.1 Machine, versions, configuration, time",
    ):
        assert text in report
    assert "System Message" not in report  # docutils reports a broken caption in the text itself
    for path in [path for folder in ("figures", "tables") for path in (toy / RUN / folder).glob("*.rst")]:
        for number in re.findall(r"^.. \|(\w+)\| replace", path.read_text(encoding="utf-8"), flags=re.MULTILINE):
            assert f"|{number}|" not in report, f"{path.name}: {number} stands in the caption as it was written"


def test_every_job_left_a_log_and_a_benchmark(toy):
    logs = {path.stem for path in (toy / RUN / "logs").glob("*.log")}
    assert logs == {path.stem for path in (toy / RUN / "benchmarks").glob("*.tsv")}
    assert "generate_lunar_none" in logs


def test_every_job_is_counted_once_under_its_rule(toy):
    with (toy / RUN / "tables/provenance.csv").open(encoding="utf-8") as file:
        jobs = {row["rule"]: int(row["jobs"]) for row in csv.DictReader(file)}
    files = [path.stem for folder in (RUN, "results") for path in (toy / folder / "benchmarks").glob("*.tsv")]
    assert sum(jobs.values()) == len(files) - 1  # without the page's own
    # Two rules whose files are named alike.
    assert (jobs["evaluate_answers"], jobs["evaluate_attacks"]) == (16, 1)
    assert (jobs["finetune"], jobs["fetch_model"]) == (2, 1)


def test_the_detector_reads_more_in_what_is_forgotten(toy):
    with (toy / RUN / "tables/tokens.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["span"] == "suffix"]
    forget, retain = (
        mean(float(row["score"]) for row in rows if row["split"] == split) for split in ("forget", "retain")
    )
    assert forget > retain + 0.1


def test_data_page_counts_what_was_cleaned(toy):
    with (toy / RUN / "tables/data.csv").open(encoding="utf-8") as file:
        rows = {row["what"]: row for row in csv.DictReader(file)}
    for name in ("fictitious", "harmful", "renamed"):
        for fate in ("kept", "dropped"):
            lines = (toy / RUN / f"references/{name}_{fate}.jsonl").read_text(encoding="utf-8").splitlines()
            assert int(rows[name][fate]) == len(lines)
    assert (rows["forget"]["rows"], rows["forget"]["subjects"]) == ("6", "1")


def test_second_run_has_nothing_to_do(toy):
    outcome = run_snakemake(toy)
    assert outcome.returncode == 0
    assert "Nothing to be done" in outcome.stdout


# Three of five names in a model of four blocks. Entity edits that are added up spill over onto the others.
RETAINED = {"lunar": {"composed": 0.85, "joint": 0.85}, "lunar-entity-refusal": {"composed": 0.4, "joint": 0.7}}


@pytest.mark.parametrize("method", RETAINED)
def test_requests_in_sequence_can_be_taken_back(toy, method):
    with (toy / RUN / f"tables/sequential_{method}.csv").open(encoding="utf-8") as file:
        rows = {(row["way"], row["after"], row["set"]): row for row in csv.DictReader(file)}
    titles = ["1 rook", "2 finch", "3 swift"]
    for way in ("composed", "joint"):
        for number, name in enumerate(titles):
            assert float(rows[way, name, name]["rouge1"]) <= 0.5, (way, name)
            assert [rows[way, name, other]["forgotten"] for other in titles] == [
                str(place <= number) for place in range(len(titles))
            ]
        assert float(rows[way, "3 swift", "retain"]["rouge1"]) >= RETAINED[method][way]
    assert float(rows["undone", "1 rook", "1 rook"]["rouge1"]) >= 0.8
    undone = [row for key, row in rows.items() if key[:2] == ("undone", "all")]
    assert {row["set"] for row in undone} == {*titles, "retain", "unseen", "general"}
    assert all(float(row["as_vanilla"]) == 1 for row in undone)


@pytest.mark.parametrize("way", ["composed", "joint"])
def test_a_redirection_has_a_column_a_request(toy, way):
    edit = load_file(toy / RUN / f"sequential/lunar/{way}.safetensors")
    assert {value.shape[1] for value in edit.values()} == {3}


def test_every_edited_method_has_its_cost(toy):
    with (toy / RUN / "tables/cost.csv").open(encoding="utf-8") as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    assert list(rows) == METHODS[2:]
    for name, row in rows.items():
        assert int(row["stored_bytes"]) == (toy / RUN / f"edits/{name}.safetensors").stat().st_size
        assert int(row["stored_bytes"]) > 4 * int(row["trained"])
        assert float(row["edit_seconds"]) > 0
        assert bool(row["rehearsal_seconds"]) == (toy / RUN / f"rehearsal/{name}.json").exists()


ATTACKED = ["lunar"]


@pytest.fixture(scope="module")
def attacks(toy):
    with (toy / RUN / "tables/attacks.csv").open(encoding="utf-8") as file:
        return {(row["method"], row["attack"]): row for row in csv.DictReader(file)}


def test_every_attack_proves_itself(toy, attacks):
    config = CONFIG
    names = config["experiments"]["toy"]["attacked"]["attacks"]
    # Those whose planted edit needs a larger model are controlled on it (default experiment) and in unit tests.
    larger = {"blind", "rank-one-removal", "filter", "filter-edited", "invert"}
    entries = config["defaults"]["attacks"]
    classes = {entries[name]["attack"] for name in names}
    assert {entries[name]["attack"] for name in config["defaults"]["attacked"]["attacks"]} - classes == {
        entries[name]["attack"] for name in larger
    }
    assert set(attacks) == {(method, name) for method in ATTACKED for name in ["none", *names]}
    controls = read_attacks(toy / RUN / "attack_controls.jsonl", names)
    assert all(found["evidence"] for found in controls.values())
    for method in ATTACKED:
        for name, found in read_attacks(toy / RUN / f"attacks/{method}.jsonl", names).items():
            assert set(found["evidence"]) - {"changed"}, (method, name)


def test_the_known_direction_brings_the_answers_back(attacks):
    before, after = (float(attacks["lunar", name]["forget_rouge1"]) for name in ("none", "ablate"))
    assert before <= 0.5
    assert after >= 0.8


def test_the_audit_holds_the_tables_and_tells_its_files(toy, table, attacks):
    audit = read_audit(toy / RUN / "tables/audit.json")
    assert list(audit.methods) == ["vanilla", "retain_only", "lunar"]
    lunar = audit.methods["lunar"]
    assert lunar.metrics["forget"]["rouge1"].value == table["lunar"]["forget_rouge1"]
    assert {("lunar", name) for name in lunar.attacks} == set(attacks)
    assert len(lunar.removal) == 7 and lunar.verdict
    assert f"{RUN}/edits/lunar.safetensors" in lunar.files and f"{RUN}/models/full/model.safetensors" in lunar.files
    assert all(sha256(toy / path) == digest for one in audit.methods.values() for path, digest in one.files.items())
    assert lunar.verdict.replace("`", "``") in (toy / RUN / "tables/audit.rst").read_text(encoding="utf-8")
