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
from lunar.metrics.registry import METRICS

from lunar.pages.main_table import (
    ARROWS,
    TITLES,
    better,
    latex,
    latex_escape,
    long,
    markdown,
    readable,
    render,
    sections,
    standing,
    summary,
    wide,
)

TEMPLATES = Path(__file__).parents[3] / "report" / "templates"
NO_ANSWERS = {"reason": "the split has no gold answers"}
Cell = dict[str, Any]


def cell(mean: float, n: int = 20) -> Cell:
    return {"mean": mean, "low": mean - 0.125, "high": mean + 0.125, "n": n}


def method(ds: Cell, forget: float, retain: float, refused: float) -> dict[str, Any]:
    """The metric file of one method, with a number of its own in every place."""
    return {
        "ds": ds,
        "forget_quality": {"mean": 0.0000123, "statistic": 0.6, "n_unlearned": 20, "n_reference": 19},
        "model_utility": {"reason": "needs likelihoods"},
        "notes": {"rouge1": "noted"},
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
    names.insert(1, "model_utility")
    numbers = [f"{name}{end}" for name in names for end in ("", "_low", "_high")]
    quality = [f"forget_quality{end}" for end in ("", "_statistic", "_n_unlearned", "_n_reference")]
    assert list(table.columns) == ["method", "attack", *numbers[:3], *quality, *numbers[3:]]
    assert list(table.loc[1, quality]) == [0.0000123, 0.6, 20, 19]
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


def test_long_has_a_row_a_number_with_reasons_and_differences() -> None:
    metrics = {name: {**file, "splits": dict(file["splits"])} for name, file in METRIC_FILES.items()}
    versus = {"vanilla": {"difference": -0.79, "low": -0.9, "high": -0.7}}
    metrics["lunar"]["splits"]["forget"] = {"rouge1": cell(0.12) | {"versus": versus}, "refusal": cell(0.95)}
    table = long(metrics)
    assert len(table) == 3 * (3 + 7)
    one = table[(table["split"] == "forget") & (table["metric"] == "rouge1")].set_index("method")
    assert list(one.loc["lunar", ["value", "n", "vs_vanilla", "vs_vanilla_low", "vs_vanilla_high"]]) == [
        *(0.12, 20, -0.79, -0.9, -0.7)
    ]
    assert pd.isna(one.loc["vanilla", "vs_vanilla"])
    ds = table[table["metric"] == "ds"].set_index("method")
    assert ds.loc["retain_only", "reason"] == "needs gold answers" and pd.isna(ds.loc["retain_only", "value"])
    # Every missing number has a reason.
    assert table.loc[table["value"].isna(), "reason"].notna().all()


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
        ("gibberish", "forget", "lower"),
        ("gibberish", "retain", "lower"),
        ("loss", "forget", "higher"),
        ("truth_ratio", "retain", "lower"),
        ("refusal_quality", "harmful", "higher"),
        ("refusal_unethical", "harmful", "neither"),
    ],
)
def test_better(metric: str, split: str, sense: str) -> None:
    assert better(metric, split) == sense


def rows_by_name(rows: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["split"], row["metric"]): row for row in rows}


def test_readable_cells() -> None:
    rows = rows_by_name(readable(METRIC_FILES))
    assert next(iter(rows)) == ("Overall", "DS")
    ds = rows["Overall", "DS"]["cells"]
    assert [(one["text"], one["interval"], one["reason"]) for one in ds] == [
        ("99.2", "99.1 to 99.4", ""),
        ("", "", "needs gold answers"),
        ("21.5", "21.4 to 21.6", ""),
    ]
    forget = rows[TITLES["forget"], METRICS["rouge1"].title]
    assert [one["text"] for one in forget["cells"]] == ["0.910", "0.300", "0.120"]
    assert (forget["n"], rows[TITLES["retain"], "ROUGE-1"]["n"]) == (20, 100)
    assert forget["source"] == f"{METRICS['rouge1'].source}; noted"
    quality = rows["Overall", "Forget quality (p)"]
    assert (quality["cells"][0]["text"], quality["cells"][0]["interval"]) == ("1.2e-05", "")
    assert quality["source"].endswith("; n_unlearned 20; n_reference 19")


@pytest.mark.parametrize(
    ("row", "best"),
    [
        (("Overall", "DS"), [False, False, True]),
        (("Forget set", "ROUGE-1"), [False, False, True]),
        (("Retain set", "ROUGE-1"), [False, True, False]),
        (("Forget set", "Refused"), [False, False, True]),
        (("Harmful requests", "Refused"), [True, False, False]),
        (("Retain set", "Refused"), [False, False, False]),  # all alike: nothing to point out
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


def test_best_is_what_is_nearest_to_half_and_nothing_where_no_way_is_better() -> None:
    metrics = {
        name: {"loss_auc": cell(value), "splits": {"forget": {"wrong": cell(value)}}}
        for name, value in {"a": 0.9, "b": 0.42, "c": 0.6}.items()
    }
    rows = rows_by_name(readable(metrics))
    assert [one["best"] for one in rows["Overall", "Membership AUC, loss"]["cells"]] == [False, True, False]
    assert [one["best"] for one in rows["Forget set", "Wrong"]["cells"]] == [False] * 3


def test_markdown() -> None:
    methods = list(METRIC_FILES)
    blocks = markdown(readable(METRIC_FILES), methods).split("## ")[1:]
    assert [block.splitlines()[0] for block in blocks] == ["Overall", "Forget set", "Retain set", "Harmful requests"]
    by_name = {}
    for block in blocks:
        table = [line for line in block.splitlines() if line.startswith("|")]
        cells = [[part.strip() for part in line.strip("|").split("|")] for line in table]
        assert cells[0] == ["metric", "n", *methods]
        assert all(set(part) <= set("-:") for part in cells[1])
        assert {len(line) for line in cells} == {2 + len(methods)}
        by_name |= {(block.splitlines()[0], line[0]): line[1:] for line in cells[2:]}
    assert by_name["Forget set", "ROUGE-1 ↓"] == [
        *["20", "0.910 [0.785, 1.035]", "0.300 [0.175, 0.425]", "**0.120** [-0.005, 0.245]"]
    ]
    assert by_name["Retain set", "ROUGE-1 ↑"][2].startswith("**0.820** [")
    assert by_name["Overall", "DS ↓"][2] == "(needs gold answers)"
    assert by_name["Overall", "Forget quality (p) ↑"] == ["", *["1.2e-05"] * 3]


def test_what_no_method_has_is_named_once_with_its_reason() -> None:
    found = {section["title"]: section for section in sections(readable(METRIC_FILES))}
    assert [row["metric"] for row in found["Harmful requests"]["rows"]] == ["Refused"]
    assert found["Harmful requests"]["blanks"] == {NO_ANSWERS["reason"]: ["ROUGE-1", "ROUGE-L"]}
    assert found["Overall"]["blanks"] == {"needs likelihoods": ["Model utility"]}
    for text in (markdown(readable(METRIC_FILES), list(METRIC_FILES)), latex(readable(METRIC_FILES), ["a", "b", "c"])):
        assert "Not computed, since the split has no gold answers: ROUGE-1; ROUGE-L." in text


def test_latex_has_the_structure_that_compiles() -> None:
    methods = ["vanilla", "retain_only", "lunar"]
    metrics = dict(zip(methods, METRIC_FILES.values(), strict=True))
    text = latex(readable(metrics), methods)
    environments = re.findall(r"\\(begin|end)\{(\w+)\}", text)
    assert environments == [
        *[("begin", "table"), ("begin", "tabular"), ("end", "tabular"), ("end", "table")] * 4,
    ]
    rows = [line for line in text.splitlines() if line.endswith(r" \\")]
    assert len(rows) == 4 + 2 + 2 + 2 + 1
    assert {line.count(" & ") for line in rows} == {1 + len(methods)}
    assert r"retain\_only" in text and "retain_only" not in text
    assert r"\textbf{0.120} {\scriptsize [-0.005, 0.245]}" in text
    assert "DS $\\downarrow$, retain\\_only" not in text and "DS, retain\\_only: needs gold answers." in text
    braces = re.sub(r"\\[{}]", "", text)
    assert braces.count("{") == braces.count("}")
    assert text.isascii(), "arrows and the like need commands"


def test_latex_escapes_what_means_something() -> None:
    assert latex_escape("a_b & 5% #1 {x} $ ~ ^ \\ <") == (
        r"a\_b \& 5\% \#1 \{x\} \$ \textasciitilde{} \textasciicircum{} \textbackslash{} $<$"
    )


# --- As a page

EVIL = "<script>alert('x')</script> & \"more\""


def test_table_page_escapes_what_is_inserted() -> None:
    rows = readable({name: METRIC_FILES["lunar"] for name in ("a", EVIL)})
    rows[1] |= {"source": EVIL, "metric": EVIL}
    style = TEMPLATES / "style.css"
    rows[2]["cells"] = [{**one, "text": "", "reason": EVIL} for one in rows[2]["cells"]]
    parts = {"sections": sections(rows), "methods": ["a", EVIL], "arrows": ARROWS, "commands": {EVIL: "snakemake"}}
    page = render(TEMPLATES / "table.html.j2", style=style, title=EVIL, **parts)
    assert "<script" not in page
    # Title, heading; method a split; source, metric; reason, command.
    assert page.count("&lt;script&gt;") == 2 + 4 + 2 + 2
    assert f'title="{EVIL[:8]}' not in page and style.read_text(encoding="utf-8") in page
    assert page.count("<tr") == sum(1 + len(section["rows"]) for section in sections(rows))


def test_style_sheet_is_inserted_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "style.css").write_text('td > p::before { content: "<"; }')
    none = {"sections": [], "methods": [], "commands": {}}
    page = render(TEMPLATES / "table.html.j2", style=tmp_path / "style.css", title="T", **none)
    assert '<style>td > p::before { content: "<"; }</style>' in page


def test_page_with_a_missing_value_is_refused(tmp_path: Path) -> None:
    (tmp_path / "page.j2").write_text("{{ titel }}")
    with pytest.raises(UndefinedError, match="titel"):
        render(tmp_path / "page.j2", style=TEMPLATES / "style.css", title="T")


# --- As the report's summary


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
