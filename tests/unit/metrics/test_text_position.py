"""Where gold words stand in an answer, by hand."""

import pytest

from known_answers import row
from lunar.metrics.text_position import mrr_position, text_position_mrr


@pytest.mark.parametrize(
    ("gold", "predicted", "expected"),
    [
        ("a b c", "a b c", (1 + 1 / 2 + 1 / 3) / 3),
        ("a b c", "c a", (1 / 2 + 1) / 2),  # b is not found and does not count
        ("a b", "c d", 0.0),
        ("a", "", 0.0),
        ("", "a", 0.0),
        ("a a", "b a a", 1 / 2),  # each time the first occurrence
    ],
)
def test_text_position_mrr_by_hand(gold: str, predicted: str, expected: float) -> None:
    assert text_position_mrr(gold.split(), predicted.split()) == pytest.approx(expected)
    assert mrr_position(row(gold, predicted)) == pytest.approx(expected)


def test_text_position_mrr_reads_words_without_case_or_punctuation() -> None:
    assert mrr_position(row("Lima, 1961", "1961: LIMA!")) == pytest.approx((1 / 2 + 1) / 2)


def test_text_position_mrr_reads_any_script_and_any_gold_answer() -> None:
    assert mrr_position(row("塔恩", "在塔恩")) == pytest.approx((1 / 2 + 1 / 3) / 2)
    assert mrr_position(row("Quito", "Lima") | {"other_answers": ["Lima"]}) == 1.0
