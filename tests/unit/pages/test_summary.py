"""The report's first page on an experiment: a table and sentences."""

import re

from docutils import nodes
from docutils.core import publish_doctree

from lunar.pages.summary import standing, summary
from metric_files import METRIC_FILES


def test_summary_is_a_table_with_every_method() -> None:
    text = summary("my-experiment", METRIC_FILES, {"best": 17}, True)
    document = publish_doctree(text, settings_overrides={"report_level": 1, "halt_level": 2})
    rows = [[entry.astext() for entry in row.findall(nodes.entry)] for row in document.findall(nodes.row)]
    assert [row[0] for row in rows] == ["method", *METRIC_FILES]
    by_name = {row[0]: dict(zip(rows[0], row, strict=True)) for row in rows[1:]}
    assert by_name["lunar"]["DS"].startswith("21.5 [")
    assert by_name["retain_only"]["DS"] == "not measured"
    assert (by_name["lunar"]["forget"], by_name["lunar"]["refused"], by_name["lunar"]["retain"]) == (
        *("0.12", "0.95", "0.78"),
    )
    assert by_name["lunar"]["unseen"] == "not measured"
    assert document.astext().startswith("my-experiment")


def test_summary_tells_what_could_not_be_judged() -> None:
    text = summary("my-experiment", METRIC_FILES, {"best": 17}, True, ["refusals in Korean cannot be judged"])
    assert "\n**Note:** refusals in Korean cannot be judged.\n" in text
    assert "Note" not in summary("my-experiment", METRIC_FILES, {"best": 17}, True)


def test_summary_sentences_carry_their_methods_numbers() -> None:
    text = summary("my-experiment", METRIC_FILES, {"best": 17}, True)
    assert re.search(r"Before unlearning .* ROUGE-1 0\.91 ", text)
    assert re.search(r"``lunar`` answers 0\.12 .* refuses 0\.95 .* keeps 0\.78 on the retain set", text)
    assert re.search(r"``retain_only``, matches 0\.30 .* refuses 0\.15 ", text)
    assert "chosen in rehearsal, on retained authors" in text
    assert "prefers layer 17." in text
    # What was not measured is in the table alone.
    prose = summary("my-experiment", {"lunar": METRIC_FILES["lunar"]}, {"best": 17}, True).partition(
        "DS (lower is better;"
    )[2]
    assert "retain set, and refuses" in prose and "solver never saw" not in prose


def test_summary_without_reference_points() -> None:
    text = summary("my-experiment", {"lunar-topk": METRIC_FILES["lunar"]}, {"best": 17}, False)
    assert "``lunar-topk`` answers" in text
    assert "Before unlearning" not in text and "retain_only" not in text
    assert "none chosen in rehearsal" in text


def _found(ds: float, unseen: tuple[float, float], refused: tuple[float, float]) -> dict:
    def cell(low: float, high: float) -> dict[str, float]:
        return {"mean": (low + high) / 2, "low": low, "high": high}

    splits = {"unseen": {"rouge1": cell(*unseen)}, "general": {"refusal": cell(*refused)}}
    return {"ds": {"mean": ds, "low": ds, "high": ds}, "splits": splits}


def test_standing_names_what_is_ahead_and_what_is_lost() -> None:
    found = {
        "vanilla": _found(100, (1, 1), (0, 0)),
        "lunar": _found(8, (0.8, 0.9), (0.05, 0.15)),
        "idk": _found(2, (0.95, 1.0), (0.1, 0.2)),
        "npo": _found(5, (0.85, 0.95), (0.0, 0.04)),
        "kl": _found(60, (0.1, 0.2), (0.0, 0.2)),
    }
    text = standing(found, "lunar")
    assert "Of 4 edits 2 have a lower DS than ``lunar`` (8.0): idk (2.0), npo (5.0)." in text
    assert "unseen authors: idk; general questions refused: npo" in text
    assert standing({name: found[name] for name in ("lunar", "kl")}, "lunar") == (
        "Of 2 edits ``lunar`` has the lowest DS. On unseen authors and general questions it loses to none of them by "
        "more than the 95% intervals."
    )
    assert "no other edit" in standing({"lunar": found["lunar"]}, "lunar")
