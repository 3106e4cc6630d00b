"""The table in its forms: for programs and for readers, as Markdown, LaTeX and a page."""

import io
import re
from collections.abc import Sequence
from typing import Any

import pandas as pd
import pytest

from clone import ROOT
from known_answers import RETAIN, evaluate, row
from lunar.data.splits import TITLES
from lunar.pages.main_table import compared, long, readable, sections, wide
from lunar.pages.names import ARROWS
from lunar.pages.render import BACK, render, render_text
from metric_files import DESCRIBED, METRIC_FILES, NO_ANSWERS, cell, method

TEMPLATES = ROOT / "report/templates"


def shown(metrics: dict[str, Any], template: str, notes: Sequence[str] = ()) -> str:
    values = {"sections": sections(readable(metrics)), "methods": list(metrics), "arrows": ARROWS, "notes": notes}
    return render_text(TEMPLATES / template, **values)


def markdown(metrics: dict[str, Any]) -> str:
    return shown(metrics, "main.md.j2")


def latex(metrics: dict[str, Any]) -> str:
    return shown(metrics, "main.tex.j2")


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


def test_every_method_is_compared_with_the_reference_methods_that_are_there() -> None:
    found = {
        name: evaluate({"forget": [row("red green", said)] * 4, "retain": RETAIN}, 20, 0)
        for name, said in {"vanilla": "red green", "lunar": "red"}.items()
    }
    table = long(compared(found)).set_index(["method", "split", "metric"])
    rouge1 = ("vs_vanilla", "vs_vanilla_low", "vs_vanilla_high")
    assert list(table.loc[("lunar", "forget", "rouge1"), list(rouge1)]) == [-0.5, -0.5, -0.5]
    assert list(table.loc[("vanilla", "forget", "rouge1"), list(rouge1)]) == [0, 0, 0]  # itself
    assert not [name for name in table if "retain_only" in name]


# --- For readers


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
    forget = rows[TITLES["forget"], DESCRIBED["answers"]["rouge1"]["title"]]
    assert [one["text"] for one in forget["cells"]] == ["0.910", "0.300", "0.120"]
    assert (forget["n"], rows[TITLES["retain"], "ROUGE-1"]["n"]) == (20, 100)
    assert forget["source"] == f"{DESCRIBED['answers']['rouge1']['source']}; noted"
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
        name: {"described": DESCRIBED, "loss_auc": cell(value), "splits": {"forget": {"wrong": cell(value)}}}
        for name, value in {"a": 0.9, "b": 0.42, "c": 0.6}.items()
    }
    rows = rows_by_name(readable(metrics))
    assert [one["best"] for one in rows["Overall", "Membership AUC, loss"]["cells"]] == [False, True, False]
    assert [one["best"] for one in rows["Forget set", "Wrong"]["cells"]] == [False] * 3


def test_markdown() -> None:
    methods = list(METRIC_FILES)
    blocks = markdown(METRIC_FILES).split("## ")[1:]
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
    for text in (markdown(METRIC_FILES), latex(METRIC_FILES)):
        assert "Not computed, since the split has no gold answers: ROUGE-1; ROUGE-L." in text


def test_latex_has_the_structure_that_compiles() -> None:
    methods = ["vanilla", "retain_only", "lunar"]
    metrics = dict(zip(methods, METRIC_FILES.values(), strict=True))
    text = latex(metrics)
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


def test_what_could_not_be_judged_is_told_under_the_table() -> None:
    note = "refusals in Korean cannot be judged (3 of 6 rows of forget_short)"
    for template, told in (("main.md.j2", f"\nNote: {note}.\n"), ("main.tex.j2", note.replace("_", r"\_"))):
        assert told in shown(METRIC_FILES, template, [note])
        assert "Note" not in shown(METRIC_FILES, template)


# --- As a page

EVIL = "<script>alert('x')</script> & \"more\""


def test_table_page_escapes_what_is_inserted() -> None:
    rows = readable({name: METRIC_FILES["lunar"] for name in ("a", EVIL)})
    rows[1] |= {"source": EVIL, "metric": EVIL}
    style = TEMPLATES / "style.css"
    rows[2]["cells"] = [{**one, "text": "", "reason": EVIL} for one in rows[2]["cells"]]
    parts = {"sections": sections(rows), "methods": ["a", EVIL], "arrows": ARROWS, "commands": {EVIL: "snakemake"}}
    parts["notes"] = [EVIL]
    page = render(TEMPLATES / "table.html.j2", style=style, title=EVIL, **parts)
    assert "<script" not in page.replace(BACK, "")
    # Title, heading; method a split; source, metric; reason, command; note.
    assert page.count("&lt;script&gt;") == 2 + 4 + 2 + 2 + 1
    assert f'title="{EVIL[:8]}' not in page and style.read_text(encoding="utf-8") in page
    assert page.count("<tr") == sum(1 + len(section["rows"]) for section in sections(rows))
