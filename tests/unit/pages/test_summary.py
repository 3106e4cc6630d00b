"""The report's first page on an experiment: a table and sentences."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.core import publish_doctree

from lunar.files import read_json, write_json
from lunar.pages.summary import best, reproduced, standing, summary
from metric_files import METRIC_FILES

FORGET = [{"author": "Tom Rook"}, {"author": "Tom Rook"}, {"author": "Ida Vale"}]
RECIPES = {"vanilla": "", "retain_only": "", "lunar": "redirection"}


def told(metrics: dict[str, Any] = METRIC_FILES, notes: Sequence[str] = (), **others: Any) -> str:
    """The first page's text on an experiment of the tests."""
    given = {"recipes": RECIPES, "forget": FORGET, "model": "small", "rehearsed": True} | others
    return summary("my-experiment", metrics, {"best": 17}, notes=notes, **given)


def test_summary_is_a_table_with_every_method() -> None:
    document = publish_doctree(told(), settings_overrides={"report_level": 1, "halt_level": 2})
    rows = [[entry.astext() for entry in row.findall(nodes.entry)] for row in document.findall(nodes.row)]
    assert [row[0] for row in rows] == ["method", *METRIC_FILES]
    by_name = {row[0]: dict(zip(rows[0], row, strict=True)) for row in rows[1:]}
    assert by_name["lunar"]["DS"].startswith("21.5 [")
    assert by_name["retain_only"]["DS"] == "not measured"
    assert [by_name["lunar"][title] for title in ("forget", "refused", "retain")] == ["0.12", "0.95", "0.78"]
    assert by_name["lunar"]["unseen"] == "not measured"
    assert document.astext().startswith("my-experiment")


def test_summary_answers_in_order() -> None:
    text = told()
    asked = ("What was to be forgotten", "By which methods", "How far, and at what cost?", "Which edit is best at what")
    places = [text.index(f"**{question}") for question in asked]
    assert places == sorted(places)
    assert "3 questions about Tom Rook, Ida Vale. The model is ``small``. Before unlearning it gives 0.91 of" in text
    assert "- not edited, to compare with: ``vanilla``, ``retain_only``\n- solved exactly, ours: ``lunar``" in text
    assert "`1.1 <#results/my-experiment/tables/main.html>`__" in text


def test_many_people_are_counted_and_nobody_needs_a_name() -> None:
    many = [{"author": f"Author {number}"} for number in range(5)]
    assert "about Author 0, Author 1, Author 2 and 2 more." in told(forget=many)
    assert "2 questions of the forget set." in told(forget=[{"question": "Why?"}] * 2)


def test_summary_tells_what_could_not_be_judged() -> None:
    assert "\n**Note:** refusals in Korean cannot be judged.\n" in told(notes=["refusals in Korean cannot be judged"])
    assert "Note" not in told()


def test_summary_sentences_carry_their_methods_numbers() -> None:
    text = told()
    assert "``retain_only`` never saw the forget set. It still gives 0.30 of" in text and "refuses 0.15 of" in text
    assert "chosen in rehearsal, on retained authors" in text
    assert "prefers layer 17." in text


def test_summary_without_reference_points() -> None:
    text = told({"lunar-topk": METRIC_FILES["lunar"]}, recipes={"lunar-topk": "redirection"}, rehearsed=False)
    assert "``lunar-topk``, 0.12" in text
    assert "Before unlearning" not in text and "retain_only" not in text
    assert "none was chosen in rehearsal" in text


def test_an_edit_that_has_not_forgotten_is_best_at_nothing() -> None:
    def one(forget: float, retain: float) -> dict[str, Any]:
        return {"splits": {"forget": {"rouge1": {"mean": forget}}, "retain": {"rouge1": {"mean": retain}}}}

    found = {"vanilla": one(0.9, 1.0), "idle": one(0.8, 0.99), "a": one(0.125, 0.5), "b": one(0.25, 0.75)}
    assert best(found)[2:] == [
        "- forgets most of the answers (forget ROUGE-1): ``a``, 0.12",
        "- keeps most of the retain set (retain ROUGE-1): ``b``, 0.75",
    ]
    assert best({"idle": one(0.8, 0.99)}) == []


def test_the_line_on_reproduction_is_taken_over(tmp_path: Path) -> None:
    write_json(tmp_path / "reproduced.json", {"same": 31, "of": 34, "line": "31 of 34 headline numbers reproduce"})
    text = reproduced("toy", read_json(tmp_path / "reproduced.json"))
    assert text.startswith("**Does it reproduce?** 31 of 34 headline numbers reproduce; `1.0 <#results/toy/tables/")


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
