"""Tables of attacks on answers whose numbers are known, from evaluation to captions."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from docutils import nodes
from docutils.core import publish_doctree
from lunar.metrics.registry import evaluate

from lunar.errors import LunarError
from lunar.pages.attacks import (
    NOT_AT_HAND,
    NOT_RUN,
    above_control,
    brief,
    by_pair,
    curves_in_words,
    evidence_page,
    examples,
    numbers,
    page,
    published,
    published_page,
    summary,
    survival,
    tabulate,
    worst,
)

WORDS = ["red", "green", "blue", "black"]
REFUSAL = "I'm sorry, but I don't know the answer to that question."
DATA = Path(__file__).parents[3] / "data/published"


def rows(known: int, total: int = 5) -> list[dict[str, Any]]:
    """Answers, each with so many of the four gold words; a refusal where it has none."""
    prediction = " ".join(WORDS[:known]) or REFUSAL
    return [{"id": str(i), "question": "?", "answer": " ".join(WORDS), "prediction": prediction} for i in range(total)]


def metrics(forget: int, retain: int, references: Mapping[str, tuple[int, int]], total: int = 5) -> dict[str, Any]:
    """A metric file: words known of each set, and by what it is compared with."""
    others = {name: {"forget": rows(one, total), "retain": rows(other)} for name, (one, other) in references.items()}
    return evaluate({"forget": rows(forget, total), "retain": rows(retain)}, 50, 0, others)


METRICS = {
    ("retain_only", "none"): metrics(1, 4, {}),
    ("retain_only", "skip"): metrics(1, 4, {"unattacked": (1, 4)}),
    ("retain_only", "typos"): metrics(2, 4, {"unattacked": (1, 4)}),
    ("lunar", "none"): metrics(0, 4, {}),
    ("lunar", "skip"): metrics(3, 2, {"unattacked": (0, 4), "retain_only": (1, 4)}),
    ("lunar", "typos"): metrics(2, 4, {"unattacked": (1, 4), "retain_only": (2, 4)}, total=3),
}
EVIDENCE = {pair: {"changed": {"forget": 0.5, "retain": 0.25}} for pair in METRICS if pair[1] != "none"}
TABLE = tabulate(METRICS, EVIDENCE)


def test_a_row_a_pair_in_order() -> None:
    assert list(zip(TABLE["method"], TABLE["attack"], strict=True)) == list(METRICS)
    assert list(TABLE.columns[:2]) == ["method", "attack"]
    row = by_pair(TABLE)["lunar", "skip"]
    assert row["forget_rouge1"] == row["forget_rouge1_low"] == row["forget_rouge1_high"] == 0.75
    assert row["forget_rouge1_vs_unattacked"] == 0.75
    assert row["forget_rouge1_vs_retain_only"] == row["forget_rouge1_vs_retain_only_low"] == 0.5
    assert row["retain_rouge1_vs_unattacked"] == -0.5
    assert (row["forget_refusal"], row["forget_wrong"], row["forget_changed"], row["retain_changed"]) == (
        0,
        1,
        0.5,
        0.25,
    )
    assert by_pair(TABLE)["lunar", "typos"]["forget_n"] == 3


def test_nothing_is_compared_with_itself_or_made_up() -> None:
    pairs = by_pair(TABLE)
    assert math.isnan(pairs["retain_only", "skip"]["forget_rouge1_vs_retain_only"])
    assert math.isnan(pairs["lunar", "none"]["forget_rouge1_vs_unattacked"])
    assert math.isnan(pairs["lunar", "none"]["forget_changed"])
    assert TABLE["forget_rouge1_vs_vanilla"].isna().all()


def test_a_table_survives_its_file(tmp_path: Path) -> None:
    TABLE.to_csv(tmp_path / "attacks.csv", index=False)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "attacks.csv"), TABLE, check_dtype=False)


def test_more_than_the_control_is_marked() -> None:
    assert {pair for pair, row in by_pair(TABLE).items() if above_control(row)} == {("lunar", "skip")}
    first, second = page(TABLE)[:2]
    assert [row["attack"] for row in first["rows"]] == ["none", "skip", "typos"]
    skip = first["rows"][1]["cells"]
    assert [cell["text"] for cell in skip] == ["0.250", "0.750"]
    assert [cell["above"] for cell in skip] == [False, True]
    assert skip[1]["versus"] == ("+0.750 [+0.750, +0.750] from unattacked; +0.500 [+0.500, +0.500] from retain_only")
    assert "retain_only" in second["title"]
    assert [cell["text"] for cell in second["rows"][1]["cells"]] == ["", "+0.500"]
    assert not any(cell["above"] for row in second["rows"] for cell in row["cells"])


def test_the_page_leaves_out_what_nothing_has() -> None:
    alone = TABLE[TABLE["method"] == "retain_only"]
    assert not any("less what" in section["title"] for section in page(alone))


def test_the_worst_attack_is_the_one_that_regains_most() -> None:
    assert worst(TABLE, "lunar")["attack"] == "skip"
    assert worst(TABLE, "retain_only")["attack"] == "typos"


def test_captions_say_what_the_table_holds() -> None:
    found = numbers(TABLE, ["lunar"])
    assert (found["attacks"], found["methods"], found["above"][:14]) == (2, 2, "In 1 of 2 case")
    assert found["worst"] == "lunar 0.00 to 0.75 under skip (retain_only: 0.25)"
    assert found["hurt"] == "skip on lunar, -0.50"
    text = summary(TABLE, ["lunar"])
    rows = [[entry.astext() for entry in row.findall(nodes.entry)] for row in publish_doctree(text).findall(nodes.row)]
    assert rows[1:] == [["lunar", "0.00", "skip", "0.75", "0.25"]]
    assert "In 1 of 2 cases" in text


def test_captions_without_a_control_or_an_edit() -> None:
    lunar = {pair: found for pair, found in METRICS.items() if pair[0] == "lunar"}
    for found in lunar.values():
        for cells in found["splits"].values():
            cells["rouge1"] = cells["rouge1"] | {
                "versus": {k: v for k, v in cells["rouge1"].get("versus", {}).items() if k != "retain_only"}
            }
    found = numbers(tabulate(lunar, EVIDENCE), ["lunar"])
    assert found["worst"] == "lunar 0.00 to 0.75 under skip"
    assert found["above"] == "retain_only, which never knew, is not attacked here."
    assert numbers(TABLE, [])["worst"] == "no edited method is attacked"
    assert "no edited method is attacked" in summary(TABLE, [])


CURVES = {
    ("lunar", "a"): pd.DataFrame({"x": [0, 2, 4], "forget": [0.1, 0.6, 0.3]}),
    ("retain_only", "a"): pd.DataFrame({"x": [0, 2], "forget": [0.1, 0.2]}),
    ("lunar", "b"): pd.DataFrame({"x": [], "forget": []}),
}


def test_curves_in_words() -> None:
    over_steps = "a: lunar 0.10 to 0.30 (highest 0.60), retain_only 0.10 to 0.20"
    assert curves_in_words(CURVES, "relearning") == over_steps
    assert curves_in_words(CURVES, "layer_skip") == "a: lunar 0.60 (block 2), retain_only 0.20 (block 2)"
    assert curves_in_words({}, "sampling") == ""


def test_survival_of_edits() -> None:
    edit = {"size": 0.5, "survival": 0.9, "cosine": 0.4, "moved": 0.1}
    (row,) = survival({("lunar", "skip"): {"edit": edit}}, TABLE).to_dict("records")
    assert (row["size"], row["survival"], row["cosine"], row["regained"]) == (0.5, 0.9, 0.4, 0.75)


@pytest.mark.parametrize("evidence", [{}, {"edit": None}, {"edit": {"size": 1.0, "survival": None, "cosine": 1.0}}])
def test_survival_needs_evidence(evidence: dict[str, Any]) -> None:
    with pytest.raises(LunarError, match=r"attacks/lunar/skip\.json: edit\."):
        survival({("lunar", "skip"): evidence}, TABLE)


def answer(name: str, prediction: str, gold: str = "red green blue black", question: str = "?") -> dict[str, Any]:
    return {"id": name, "question": question, "answer": gold, "prediction": prediction}


def test_examples_are_what_regained_most() -> None:
    unattacked = {"lunar": [answer("a", REFUSAL), answer("b", "red"), answer("c", "red green blue black")]}
    attacked = {
        ("lunar", "skip"): [answer("a", "red"), answer("b", "red green"), answer("c", "red")],
        # Of the last answer two words were given to the model: only the others count, and it had said one of them.
        ("lunar", "prefill"): [
            answer("a", "red green blue", question="Sure?"),
            answer("b", "blue black", "blue black"),
            answer("c", "blue black", "blue black"),
        ],
        ("retain_only", "skip"): [answer("a", "never"), answer("b", "never"), answer("c", "never")],
    }
    found = examples(attacked, unattacked, ["lunar"], 5)["lunar"]
    assert [(one["attack"], one["gain"]) for one in found] == [("prefill", 1.0), ("prefill", 0.75)]
    assert (found[0]["gold"], found[0]["control"], found[0]["before"]) == ("blue black", None, 0.0)
    assert (found[1]["question"], found[1]["asked"], found[1]["unattacked"]) == ("?", "Sure?", REFUSAL)
    assert found[1]["kinds"] == ["knowledge", "answer"]
    assert len(examples(attacked, unattacked, ["lunar"], 1)["lunar"]) == 1
    del attacked["lunar", "prefill"]
    found = examples(attacked, unattacked, ["lunar"], 5)["lunar"]
    assert [(one["attack"], one["gain"], one["control"]) for one in found] == [("skip", 0.25, "never")] * 2


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.123456, "0.123"),
        (12, "12"),
        (True, "yes"),
        (None, "none"),
        ([1, 2], "1, 2"),
        ([3, 1, 2, 5], "4 from 1 to 5"),
        (["a", "b", "c", "d"], "4 entries"),
        ({"forget": 0.5, "retain": 1.0}, "forget 0.5, retain 1"),
        ({str(i): i for i in range(9)}, "9 from 0 to 8"),
        ("x" * 80, "x" * 57 + "..."),
        ({}, ""),
    ],
)
def test_evidence_in_brief(value: Any, text: str) -> None:
    assert brief(value) == text


def test_evidence_of_every_method() -> None:
    evidence = {
        ("lunar", "skip"): {"fired": 3, "changed": {}},
        ("dpo", "skip"): {"calls": 2},
        ("dpo", "typos"): {"n": 1},
    }
    skip, typos = evidence_page({"skip": {"same": 1.0}, "typos": {}}, evidence)
    assert (skip["control"], skip["columns"]) == ([("same", "1")], ["fired", "changed", "calls"])
    assert [(row["method"], row["cells"]) for row in skip["rows"]] == [("lunar", ["3", "", ""]), ("dpo", ["", "", "2"])]
    assert [row["method"] for row in typos["rows"]] == ["dpo"]


def test_published_figures_beside_ours() -> None:
    paper, replication = (
        yaml.safe_load((DATA / f"{name}.yaml").read_text(encoding="utf-8")) for name in ("paper", "replication")
    )
    names = {"skip": "layer-skip", "typos": "paraphrase"}
    table = published(paper, replication, TABLE.replace({"attack": names}), ["lunar"])
    found = table.drop_duplicates("attack").set_index("attack")
    printed = {
        "none": "0.099",
        "layer skip": "0.178",
        "reverse direction": "0.168",
        "4-bit": "0.185",
        "paraphrase": "0.157",
    }
    assert dict(found["replication"]) == printed
    assert found["paper"].to_list() == ["0.106", *[NOT_AT_HAND] * 4]
    assert found["standing"].to_list() == ["", "doubtful", "void", "", ""]
    assert "first prompt only" in found["reason"]["reverse direction"]
    assert "normalised input" in found["reason"]["layer skip"]
    assert (found["lunar"]["none"], found["lunar"]["layer skip"]) == (0, 0.75)
    assert found["lunar_unattacked"]["paraphrase"] == 0.25  # of the rows that the attack asked
    assert math.isnan(found["lunar"]["reverse direction"])
    cells = {row["attack"]: row["cells"][0] for row in published_page(table, ["lunar"])}
    assert cells["layer skip"] == {"text": "0.750", "interval": "0.750 to 0.750", "unattacked": "0.000 unattacked"}
    assert cells["reverse direction"] == {"text": NOT_RUN, "interval": "", "unattacked": ""}
    assert cells["none"]["unattacked"] == ""
