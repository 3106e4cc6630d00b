"""The table in its forms: for programs, for readers, as a page and as the report's summary."""

import io
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from docutils import nodes
from docutils.core import publish_doctree
from jinja2 import UndefinedError

from lunar.metrics import METRICS
from lunar.tables import TITLES, better, markdown, readable, render, summary, wide

TEMPLATES = Path(__file__).parents[2] / "report" / "templates"
NO_ANSWERS = {"reason": "the split has no gold answers"}
Cell = dict[str, Any]


def cell(mean: float, n: int = 20) -> Cell:
    return {"mean": mean, "low": mean - 0.125, "high": mean + 0.125, "n": n}


def method(ds: Cell, forget: float, retain: float, refused: float) -> dict[str, Any]:
    """The metric file of one method, with a number of its own in every place."""
    return {
        "ds": ds,
        "splits": {
            "forget": {"rouge1": cell(forget), "refusal": cell(refused)},
            "retain": {"rouge1": cell(retain, 100), "refusal": cell(0.0, 100)},
            "harmful": {"rouge1": NO_ANSWERS, "rougeL": NO_ANSWERS, "refusal": cell(1 - refused, 30)},
        },
    }


METRIC_FILES = {
    "vanilla": method(cell(99.25), 0.91, 0.8, 0.05),
    "retain_only": method({"reason": "needs gold answers"}, 0.3, 0.82, 0.15),
    "lunar": method(cell(21.5), 0.12, 0.78, 0.95),
}


# --- For programs


def test_wide_has_one_row_a_method_and_three_columns_a_number() -> None:
    table = wide(METRIC_FILES)
    assert list(table["method"]) == list(METRIC_FILES)
    assert set(table["attack"]) == {"none"}
    names = ["ds", "forget_rouge1", "forget_refusal", "retain_rouge1", "retain_refusal"]
    names += ["harmful_rouge1", "harmful_rougeL", "harmful_refusal"]
    numbers = [f"{name}{end}" for name in names for end in ("", "_low", "_high")]
    assert list(table.columns) == ["method", "attack", *numbers]
    assert list(table.loc[2, ["forget_rouge1", "forget_rouge1_low", "forget_rouge1_high"]]) == [0.12, -0.005, 0.245]
    assert list(table.loc[0, ["ds", "ds_low", "ds_high"]]) == [99.25, 99.125, 99.375]


def test_wide_leaves_missing_numbers_blank() -> None:
    text = wide(METRIC_FILES).to_csv(index=False)
    lines = [dict(zip(text.split("\n")[0].split(","), line.split(","), strict=True)) for line in text.split("\n")[1:-1]]
    assert [line["ds"] for line in lines] == ["99.25", "", "21.5"]
    assert {line[f"harmful_rouge1{end}"] for line in lines for end in ("", "_low", "_high")} == {""}
    # The file must come back as numbers, blanks or not.
    again = pd.read_csv(io.StringIO(text))
    assert all(pd.api.types.is_numeric_dtype(again[name]) for name in again.columns[2:])


# --- For readers


@pytest.mark.parametrize(
    ("metric", "split", "sense"),
    [
        ("rouge1", "forget", "lower"),
        ("rouge1", "forget_paraphrase", "lower"),
        ("rougeL", "retain", "higher"),
        ("rouge1", "unseen", "higher"),
        ("rouge1", "general", "higher"),
        ("refusal", "forget", "higher"),
        ("refusal", "forget_validation", "higher"),
        ("refusal", "harmful", "higher"),
        ("refusal", "fictitious", "higher"),
        ("refusal", "retain", "lower"),
        ("refusal", "general", "lower"),
        ("degenerate", "forget", "lower"),
        ("degenerate", "retain", "lower"),
    ],
)
def test_better(metric: str, split: str, sense: str) -> None:
    assert better(metric, split) == sense


def rows_by_name(rows: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["split"], row["metric"]): row for row in rows}


def test_readable_cells() -> None:
    rows = rows_by_name(readable(METRIC_FILES))
    assert next(iter(rows)) == ("Forget and retain set", "DS")
    ds = rows["Forget and retain set", "DS"]["cells"]
    assert [(one["text"], one["interval"], one["reason"]) for one in ds] == [
        ("99.2", "99.1 to 99.4", ""),
        ("", "", "needs gold answers"),
        ("21.5", "21.4 to 21.6", ""),
    ]
    forget = rows[TITLES["forget"], METRICS["rouge1"].title]
    assert [one["text"] for one in forget["cells"]] == ["0.910", "0.300", "0.120"]
    assert (forget["n"], rows[TITLES["retain"], "ROUGE-1"]["n"]) == (20, 100)
    assert forget["source"] == METRICS["rouge1"].source


@pytest.mark.parametrize(
    ("row", "best"),
    [
        (("Forget and retain set", "DS"), [False, False, True]),
        (("Forget set", "ROUGE-1"), [False, False, True]),
        (("Retain set", "ROUGE-1"), [False, True, False]),
        (("Forget set", "Refusals"), [False, False, True]),
        (("Harmful requests", "Refusals"), [True, False, False]),
        (("Retain set", "Refusals"), [False, False, False]),  # all alike: nothing to point out
        (("Harmful requests", "ROUGE-1"), [False, False, False]),
    ],
)
def test_best_value_of_a_row(row: tuple[str, str], best: list[bool]) -> None:
    assert [one["best"] for one in rows_by_name(readable(METRIC_FILES))[row]["cells"]] == best


def test_equal_best_values_are_all_marked() -> None:
    metrics = {
        name: method(cell(50.0), forget, 0.5, 0.5) for name, forget in {"a": 0.2, "b": 0.20004, "c": 0.9}.items()
    }
    cells = rows_by_name(readable(metrics))["Forget set", "ROUGE-1"]["cells"]
    # As printed: a reader sees 0.200 twice.
    assert [one["best"] for one in cells] == [True, True, False]


def test_markdown() -> None:
    methods = list(METRIC_FILES)
    lines = markdown(readable(METRIC_FILES), methods).splitlines()
    table = [[part.strip() for part in line.strip("|").split("|")] for line in lines]
    assert {len(line) for line in table} == {3 + len(methods)}
    assert all(line.startswith("| ") and line.endswith(" |") for line in lines)
    assert table[0] == ["split", "metric", "n", *methods]
    assert all(set(part) <= set("-:") for part in table[1])
    by_name = {(line[0], line[1]): line[2:] for line in table[2:]}
    assert len(by_name) == len(readable(METRIC_FILES))
    assert by_name["Forget set", "ROUGE-1 ↓"] == [
        *["20", "0.910 [0.785, 1.035]", "0.300 [0.175, 0.425]", "**0.120** [-0.005, 0.245]"]
    ]
    assert by_name["Retain set", "ROUGE-1 ↑"][2].startswith("**0.820** [")
    assert by_name["Forget and retain set", "DS ↓"][2] == "(needs gold answers)"
    assert by_name["Harmful requests", "ROUGE-1 ↓"] == ["", *["(the split has no gold answers)"] * 3]


def test_reasons_are_given_once_a_split() -> None:
    names = [row["metric"] for row in readable(METRIC_FILES) if row["split"] == "Harmful requests"]
    assert names == ["ROUGE-1", "Refusals"], "ROUGE-L would repeat the same sentence"


# --- As a page

EVIL = "<script>alert('x')</script> & \"more\""


def test_table_page_escapes_what_is_inserted() -> None:
    rows = readable({name: METRIC_FILES["lunar"] for name in ("a", EVIL)})
    rows[1] |= {"source": EVIL, "metric": EVIL}
    style = TEMPLATES / "style.css"
    page = render(TEMPLATES / "table.html.j2", style=style, title=EVIL, rows=rows, methods=["a", EVIL])
    assert "<script" not in page
    assert page.count("&lt;script&gt;") == 5  # title and heading, method, source and metric
    assert f'title="{EVIL[:8]}' not in page and style.read_text(encoding="utf-8") in page
    assert page.count("<tr") == 1 + len(rows)


def test_generations_page_escapes_what_is_inserted() -> None:
    predictions = [{"text": EVIL, "kind": "answer"}, {"text": "I do not know.", "kind": "knowledge"}]
    row = {"question": EVIL, "answer": EVIL, "predictions": predictions}
    page = render(
        TEMPLATES / "generations.html.j2",
        style=TEMPLATES / "style.css",
        title="Answers",
        splits={"forget": [row], "harmful": [row]},
        methods=["vanilla", "lunar"],
    )
    assert "<script" not in page
    assert page.count("&lt;script&gt;") == 6
    assert page.count('<td class="knowledge">I do not know.</td>') == 2


def test_style_sheet_is_inserted_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "style.css").write_text('td > p::before { content: "<"; }')
    page = render(TEMPLATES / "table.html.j2", style=tmp_path / "style.css", title="T", rows=[], methods=[])
    assert '<style>td > p::before { content: "<"; }</style>' in page


def test_page_with_a_missing_value_is_refused(tmp_path: Path) -> None:
    (tmp_path / "page.j2").write_text("{{ titel }}")
    with pytest.raises(UndefinedError, match="titel"):
        render(tmp_path / "page.j2", style=TEMPLATES / "style.css", title="T")


# --- As the report's summary


def test_summary_is_a_table_with_every_method() -> None:
    text = summary("my-experiment", METRIC_FILES, {"best": 17})
    document = publish_doctree(text, settings_overrides={"report_level": 1, "halt_level": 2})
    rows = [[entry.astext() for entry in row.findall(nodes.entry)] for row in document.findall(nodes.row)]
    assert [row[0] for row in rows] == ["method", *METRIC_FILES]
    by_name = {row[0]: dict(zip(rows[0], row, strict=True)) for row in rows[1:]}
    assert by_name["lunar"]["DS"] == "21.5 [21.4, 21.6]"
    assert by_name["retain_only"]["DS"] == "not measured"
    assert (by_name["lunar"]["forget"], by_name["lunar"]["refused"], by_name["lunar"]["retain"]) == (
        *("0.12", "0.95", "0.78"),
    )
    assert by_name["lunar"]["unseen"] == "not measured"
    assert document.astext().startswith("my-experiment")


def test_summary_sentences_carry_their_methods_numbers() -> None:
    text = summary("my-experiment", METRIC_FILES, {"best": 17})
    assert re.search(r"Before unlearning .* ROUGE-1 0\.91 ", text)
    assert re.search(r"``lunar`` answers 0\.12 .* refuses 0\.95 .* keeps 0\.78 on the retain set", text)
    assert re.search(r"``retain_only``, matches 0\.30 .* refuses 0\.15 ", text)
    assert "The edit is at layer 17," in text


def test_summary_without_reference_points() -> None:
    text = summary("my-experiment", {"lunar-topk": METRIC_FILES["lunar"]}, {"best": 17})
    assert "``lunar-topk`` answers" in text
    assert "Before unlearning" not in text and "retain_only" not in text
