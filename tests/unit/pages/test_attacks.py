"""The table of attacks on answers whose numbers are known, from evaluation to captions."""

import math
from pathlib import Path

import pandas as pd
import pytest
from docutils import nodes
from docutils.core import publish_doctree

from attacked import EVIDENCE, METRICS, TABLE, evaluated, pairs
from lunar.errors import LunarError
from lunar.pages.attacks import above_control, by_pair, compared, numbers, page, summary, tabulate, worst


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


def test_the_worst_attack_draws_most_above_what_never_knew_or_else_above_no_attack() -> None:
    assert worst(TABLE, "lunar")["attack"] == "skip"
    assert worst(TABLE, "retain_only")["attack"] == "typos"
    above = "forget_rouge1_vs_retain_only"
    other = TABLE.assign(**{above: TABLE[above].where(TABLE["attack"] != "skip", -1.0)})
    assert worst(other, "lunar")["attack"] == "typos"
    assert worst(other.assign(**{above: math.nan}), "lunar")["attack"] == "skip"


def test_captions_say_what_the_table_holds() -> None:
    found = numbers(TABLE, ["lunar"])
    assert (found["attacks"], found["methods"], found["above"][:14]) == (2, 2, "In 1 of 2 case")
    assert found["worst"] == "lunar 0.00 to 0.75 under skip (retain_only: 0.25)"
    assert found["hurt"] == "skip on lunar, -0.50"
    text = summary("toy", TABLE, ["lunar"], {"lunar": {}})
    rows = [[entry.astext() for entry in row.findall(nodes.entry)] for row in publish_doctree(text).findall(nodes.row)]
    assert rows[1:] == [["lunar", "0.00", "skip", "0.75", "0.25"]]
    assert "In 1 of 2 cases" in text
    assert "`7.1 <#results/toy/figures/attacks.svg>`__" in text


def test_captions_without_a_control_or_an_edit() -> None:
    lunar = {pair: found for pair, found in pairs().items() if pair[0] == "lunar"}
    found = numbers(tabulate(compared(lunar), EVIDENCE), ["lunar"])
    assert found["worst"] == "lunar 0.00 to 0.75 under skip"
    assert found["above"] == "retain_only, which never knew, is not attacked here."
    assert numbers(TABLE, [])["worst"] == "no edited method is attacked"
    assert "no edited method is attacked" in summary("toy", TABLE, [], {})


def test_answers_to_other_questions_are_not_compared() -> None:
    found = pairs() | {("retain_only", "typos"): evaluated(2, 4, (1, 4), total=4)}
    with pytest.raises(
        LunarError, match="lunar under typos and retain_only were not asked the same on the split forget"
    ):
        compared(found)


def test_answers_that_were_cut_are_counted_where_there_are_any() -> None:
    found = compared(pairs())
    assert not [name for name in tabulate(found, EVIDENCE) if name.endswith("_cut")]
    first = next(iter(found))
    found[first] = {**found[first], "cut": {"forget": 3, "retain": 0}}
    table = tabulate(found, EVIDENCE)
    assert table["forget_cut"].tolist() == [3.0, *[0.0] * (len(table) - 1)]
    assert "retain_cut" not in table


def test_attacks_that_failed_their_checks_are_named_and_leave_a_blank() -> None:
    failures = {"lunar": {"invert": "no", "blind": "no"}, "npo": {"blind": "no"}}
    assert "failed here (section 7): invert on lunar; blind." in summary("toy", TABLE, ["lunar"], failures)
    assert "Left out" not in summary("toy", TABLE, ["lunar"], {"lunar": {}})
    method, attack = TABLE["method"].iloc[-1], TABLE["attack"].iloc[-1]
    fewer = page(TABLE[(TABLE["method"] != method) | (TABLE["attack"] != attack)])
    row = next(row for row in fewer[0]["rows"] if row["attack"] == attack)
    assert [cell["text"] for cell in row["cells"]][-1] == ""
