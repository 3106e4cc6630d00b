"""What the figures of attacks show."""

from typing import Any

import pandas as pd
import pytest

from attacked import TABLE
from lunar.errors import LunarError
from lunar.pages.curves import curves_in_words, numbers, survival

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
    with pytest.raises(LunarError, match=r"attacks/lunar\.jsonl: skip: edit\."):
        survival({("lunar", "skip"): evidence}, TABLE)


def test_the_caption_on_rounding_names_what_is_left_least_and_what_comes_back_most() -> None:
    rows = [("a", "nf4", 0.5, 0.25, 0.9, 0.1), ("b", "fp4", 2.0, 1.0, 0.75, 0.5)]
    columns = ["method", "attack", "size", "survival", "cosine", "regained"]
    found = numbers(pd.DataFrame(rows, columns=columns))
    assert (found["smallest"], found["largest"], found["least"], found["blurred"]) == ("0.5", "2", 0.25, 0.75)
    assert (found["least_where"], found["most_where"], found["most"]) == ("a under nf4", "b under fp4", "+0.50")
