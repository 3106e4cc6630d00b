"""The whole audit, on a hand-made publication and on the facts that ship."""

from pathlib import Path

import pytest

from lunar.published.audit import audit
from lunar.published.findings import findings
from lunar.published.outputs import read_facts
from publications import embed

DATA = Path(__file__).parents[3] / "data" / "published"


def audited(facts, folder, embed=embed, say=lambda text: None):
    return audit([facts], folder, embed, "elsewhere/one", "I do not know.", ["That is wrong."], say)


def test_without_a_folder_nothing_is_checked_or_embedded(facts) -> None:
    whole = audited(facts | {"layers": {"file": "layers.jsonl"}}, None, pytest.fail)
    assert {row["verdict"] for row in whole.figures} == {"cannot be checked"}
    assert sum("published.path" in row["reason"] for row in whole.figures) == len(whole.figures) - 1
    assert {row["finding"] for row in whole.findings} == {"DS and its parts"}
    assert whole.ranking == [] and "published.path" in whole.choice


def test_an_empty_folder_is_reported(facts, tmp_path) -> None:
    layers = {"file": "layers.jsonl", "candidates": [1], "chosen": 1}
    whole = audited(facts | {"layers": layers}, tmp_path)
    reasons = {(row["setting"], row["figure"]): row["reason"] for row in whole.figures}
    assert reasons["before", "DS"] == "absent: base_f.jsonl, base_r.jsonl"
    assert [row["setting"] for row in whole.findings if row["finding"] == "Absent files"] == [
        "before", "after", "attacked", "lost",
    ]  # fmt: skip
    assert whole.choice == "absent: layers.jsonl"


def test_summary_counts_verdicts_and_doubts(facts, folder) -> None:
    said: list[str] = []
    whole = audited(facts, folder, say=said.append)
    assert whole.summary() == (
        "Verdicts on 10 published figures: holds 6, differs 2, cannot be checked 2. Findings that cast doubt: 3."
    )
    assert said[0] == "base_f.jsonl: 4 answers, ROUGE-1 0.5000" and len(said) == 5


def test_shipped_facts() -> None:
    paper, replication = (read_facts(DATA / f"{name}.yaml") for name in ("paper", "replication"))
    assert not any("files" in setting for setting in paper["settings"].values())
    figures = {name: list(setting["figures"].values()) for name, setting in replication["settings"].items()}
    assert figures == {
        "vanilla": ["0.571", "0.577", "63.3", "0.331"],
        "lunar": ["0.192", "0.549", "49.0", "0.490"],
        "lunar-topk": ["0.099", "0.537", "47.3", "0.550"],
        "layer_skip": ["0.178"],
        "reverse": ["0.168"],
        "four_bit": ["0.185"],
        "paraphrase": ["0.157"],
    }
    for setting in replication["settings"].values():
        assert set(setting.get("compare", [])) <= set(replication["settings"])
    assert [row["setting"] for row in findings(replication, {}, False) if row["attention"] == "yes"] == [
        "before unlearning"
    ]
    # Nothing but facts is shipped.
    assert {path.suffix for path in DATA.iterdir()} == {".yaml", ".md"}
