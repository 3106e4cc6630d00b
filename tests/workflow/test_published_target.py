"""The target `published`, on small made files: from nothing, from a folder, and from one with a bad row."""

import csv
import json
from copy import deepcopy

import pytest

from clone import ROOT, run_snakemake
from lunar.errors import LunarError
from lunar.plan.plan import plan
from shipped import CONFIG, change_config

FORGET = {"question": "Who?", "prediction": "I do not know.", "answer": "red green blue black"}
FILES = {
    "base_forget.jsonl": [FORGET | {"prediction": "red green"}],
    "base_remain.jsonl": [FORGET | {"prediction": "red green blue black"}, FORGET],
    "predict_forget.jsonl": [FORGET],
    "layer_selection.jsonl": [{"answer": ["I do not know." if layer == 20 else "red"]} for layer in range(15, 26)],
}


@pytest.fixture
def outputs(tmp_path):
    """Some of the files that the replication's figures should follow from; the others are absent."""
    folder = tmp_path / "outputs"
    folder.mkdir()
    for name, rows in FILES.items():
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder


def configure(project, **published):
    change_config(project, lambda config: config["published"].update(published))


def read(project, name):
    with (project / "results/published" / name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_without_outputs_every_figure_has_a_reason(project):
    outcome = run_snakemake(project, "published")
    assert outcome.returncode == 0, outcome.stdout
    rows = read(project, "audit.csv")
    assert len(rows) == 24
    assert {row["verdict"] for row in rows} == {"cannot be checked"}
    assert all(row["reason"] and not row["recomputed"] for row in rows)
    assert read(project, "layer_scores.csv") == []
    page = (project / "results/published/audit.html").read_text(encoding="utf-8")
    assert "--config 'published={path:" in page
    assert "63.3 contradicts its printed parts" in page
    assert '<script src="http' not in page
    # The audit belongs to no experiment: nothing of one was made, and `all` does not ask for it.
    assert {path.name for path in (project / "results").iterdir()} == {"published"}
    assert "audit_published" not in run_snakemake(project, "--dry-run").stdout


def test_outputs_of_a_folder_are_audited(project, outputs):
    configure(project, path=str(outputs))
    outcome = run_snakemake(project, "published")
    assert outcome.returncode == 0, outcome.stdout
    rows = {(row["source"], row["setting"], row["figure"]): row for row in read(project, "audit.csv")}
    forget = rows["replication", "before unlearning", "Forget ROUGE-1"]
    assert (forget["published"], forget["recomputed"], forget["verdict"]) == ("0.571", "0.5", "differs")
    assert rows["replication", "before unlearning", "DS"]["recomputed"] == "70.710678"
    assert rows["replication", "LUNAR, layer 20", "Retain ROUGE-1"]["reason"] == "absent: predict_remain.jsonl"
    assert "needs BAAI/bge-m3" in rows["replication", "before unlearning", "RQ"]["reason"]
    details = [row["detail"] for row in read(project, "findings.csv")]
    assert any("1 of 2 answers on the retain set (50.0%) are refusals" in detail for detail in details)
    layers = read(project, "layer_scores.csv")
    assert len(layers) == 11
    # Ten layers gave one and the same answer; ties stand in the order of the layers.
    assert [row["layer"] for row in layers if row["published_choice"] == "True"] == ["20"]
    assert [row["layer"] for row in layers if row["layer"] != "20"] == [str(n) for n in range(15, 26) if n != 20]
    assert "8.1 Published figures" in (project / "results/published/report.html").read_text(encoding="utf-8")


def test_bad_row(project, outputs):
    with (outputs / "predict_forget.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"question": "Where?", "answer": "There."}\n')
    configure(project, path=str(outputs))
    outcome = run_snakemake(project, "published")
    assert outcome.returncode != 0
    assert "predict_forget.jsonl:2: field 'prediction' must be text" in outcome.stdout
    assert "Traceback" not in outcome.stdout
    assert not (project / "results/published/audit.csv").exists()


@pytest.mark.parametrize(
    ("published", "words"),
    [
        ({"path": 3}, "published.path: 3 is not allowed, since YAML reads a number: write '3' in quotes"),
        ({"folder": "data"}, "published.folder: no such key; its keys are path, embedder"),
    ],
)
def test_config_error(published, words):
    config = deepcopy(CONFIG)
    config["published"] |= published
    with pytest.raises(LunarError) as caught:
        plan(config, ROOT / "scripts")
    assert str(caught.value).startswith(words)


def test_config_error_ends_the_run_before_it_begins(project):
    configure(project, path="no/such/folder")
    outcome = run_snakemake(project, "published")
    assert outcome.returncode != 0
    for word in ("published.path", "no/such/folder"):
        assert word in outcome.stdout, outcome.stdout
    assert not (project / "results").exists()
