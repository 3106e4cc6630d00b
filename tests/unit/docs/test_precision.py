"""The table of answers by precision: how answers are counted, and that the page shows what was recorded."""

import pandas as pd
import pytest
import torch

import precision
from result_tables import RECORDED

END = 9


def expected(gap: float) -> precision.Answers:
    """The answer 1 2 3; at its second token, 2 is ahead of 5 by ``gap``."""
    logits = torch.zeros(4, 10)
    for place, token in enumerate((1, 2, 3, END)):
        logits[place, token] = 5.0
    logits[1, 5] = 5.0 - gap
    return precision.Answers([[1, 2, 3]], [logits])


@pytest.mark.parametrize(
    ("gap", "ids", "counted"),
    [(1.0, [1, 2, 3], (0, 0)), (1.0, [1, 5, 3], (1, 0)), (0.01, [1, 5], (1, 1)), (0.01, [1], (1, 0))],
)
def test_changed_answers_and_near_ties_are_counted(gap: float, ids: list[int], counted: tuple[int, int]) -> None:
    assert precision.changed(expected(gap), precision.Answers([ids], []), [END]) == counted


def test_an_answer_ends_where_it_says() -> None:
    assert precision.cut([1, 2, END, 4], [END]) == [1, 2]
    assert precision.cut([1, 2], [END]) == [1, 2]


def test_the_page_shows_a_recorded_table() -> None:
    page = precision.PAGE.read_text(encoding="utf-8")
    found = [path for path in RECORDED.rglob("precision_*.csv") if precision.markdown(pd.read_csv(path)) in page]
    assert len(found) == 1
