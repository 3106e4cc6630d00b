"""Marks of README.md and docs/: what they name, and what they count."""

import pandas as pd
import pytest

from result_tables import NUMBER, made, recorded, withstood

ATTACKS = "authors-smollm2/attacks"


def test_a_mark_shows_the_recorded_number_with_the_places_of_the_page() -> None:
    value = recorded("authors-smollm2/main").set_index("method").loc["lunar", "forget_rouge1"]
    mark = "<!--authors-smollm2/main|lunar|forget_rouge1-->"
    assert made(f"left: 0.9{mark}, or 0.999{mark}.") == f"left: {value:.1f}{mark}, or {value:.3f}{mark}."


@pytest.mark.parametrize("condition", ["forget_rouge1_vs_retain_only <= 0.1", 'attack != "none"', "forget_rouge1 > 9"])
def test_a_mark_counts_the_rows_that_meet_a_condition(condition: str) -> None:
    rows = recorded(ATTACKS)
    wanted = len(rows[rows["method"] == "lunar"].query(condition))
    mark = f"<!--{ATTACKS}|lunar|count {condition}-->"
    assert made(f"Of these, 7{mark} hold.") == f"Of these, {wanted}{mark} hold."


@pytest.mark.parametrize("place", ["nobody|none|forget_rouge1", "lunar|forget_rouge1", "lunar|none|no_such_column"])
def test_a_mark_that_names_no_single_value_is_refused(place: str) -> None:
    with pytest.raises(SystemExit, match=r"names \d+ rows of authors-smollm2/attacks.csv, or a column it lacks"):
        made(f"0.5<!--{ATTACKS}|{place}-->")


def test_a_count_over_rows_that_are_not_there_is_refused() -> None:
    with pytest.raises(SystemExit, match="names 0 rows"):
        made(f"0<!--{ATTACKS}|nobody|count forget_rouge1 > 0-->")


def test_a_comment_after_a_number_is_no_mark() -> None:
    assert NUMBER.search("0.5 <!-- not recorded: 0.5 -->") is None


def test_attacks_withstood_are_those_that_recover_little_more_than_from_retain_only() -> None:
    rows = [
        ("retain_only", "none", 0.2, None),
        ("retain_only", "ablate", 0.3, None),
        ("retain_only", "blind", 0.1, None),
    ]
    rows += [("edit", "none", 0.1, None), ("edit", "ablate", 0.4, 0.1), ("edit", "blind", 0.9, 0.8)]
    columns = ["method", "attack", "forget_rouge1", "forget_rouge1_vs_retain_only"]
    assert withstood(pd.DataFrame(rows, columns=columns)).splitlines() == [
        "| method | withstood ↑ | ablate | blind |",
        "| --- | ---: | ---: | ---: |",
        "| retain_only |  | 0.300 | 0.100 |",
        "| edit | 1 of 2 | 0.400 | 0.900 |",
    ]
