"""The target `bench`: plans, bad configuration, and once at a tiny size to its table."""

import json

from clone import run_snakemake
from lunar.pages.render import BACK
from shipped import change_config

TINY = {
    "gpu": False,
    "model": {
        "model_type": "llama",
        "hidden_size": 16,
        "intermediate_size": 40,
        "num_hidden_layers": 4,
        "num_attention_heads": 2,
        "vocab_size": 60,
    },
    "dtype": "float32",
    "candidates": [1, 3],
    "prompts": 9,
    "author": 2,
    "lengths": [6, 12],
    "answers": 4,
    "new_tokens": 2,
    "batch_size": {"pass": 4, "generation": 4},
    "repeats": 1,
    "published": {"prompts": 2, "answers": 1, "epochs": 1, "steps": 1},
}


def configure(project, **bench):
    def change(config):
        config["bench"]["sizes"]["tiny"] = TINY
        config["bench"] |= bench

    change_config(project, change)


def test_plan(project):
    outcome = run_snakemake(project, "bench", "--dry-run", "--printshellcmds", bench="{size: llama2-7b-4-blocks}")
    assert outcome.returncode == 0, outcome.stdout
    assert "results/bench/llama2-7b-4-blocks.html" in outcome.stdout
    planned = outcome.stdout.partition("Job stats:")[2].partition("\n\n")[0].split()
    assert [planned[planned.index(rule) + 1] for rule in ("measure_size", "tabulate_bench", "total")] == ["1", "1", "3"]


def test_a_size_that_there_is_not_ends_the_run_before_it_begins(project):
    """Other mistakes in this section are in the unit tests."""
    configure(project, size="tiny-5-blocks")
    outcome = run_snakemake(project, "bench")
    assert outcome.returncode != 0
    assert "bench.size: 5 blocks, but tiny has 4; name 1 to 4, or tiny alone" in outcome.stdout, outcome.stdout
    assert "Traceback" not in outcome.stdout
    assert not (project / "results").exists()


def test_a_tiny_size_to_its_table(project):
    configure(project, size="tiny-2-blocks")
    outcome = run_snakemake(project, "bench")
    assert outcome.returncode == 0, outcome.stdout
    folder = project / "results/bench"
    found = json.loads((folder / "tiny-2-blocks.json").read_text(encoding="utf-8"))
    assert found["settings"]["candidates"] == [0, 1]
    assert len(found["stages"]) == 8
    page = (folder / "tiny-2-blocks.html").read_text(encoding="utf-8")
    assert "one author forgotten" in page and "<script" not in page.replace(BACK, "")
    assert "| one author forgotten |" in (folder / "tiny-2-blocks.md").read_text(encoding="utf-8")
    assert (folder / "tiny-2-blocks.csv").read_text(encoding="utf-8").count("\n") == 9
    assert {path.name for path in (project / "results").iterdir()} == {"bench"}
