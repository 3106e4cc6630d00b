"""The ladder's steps against DS computed by hand."""

import itertools
import math
from collections.abc import Mapping
from typing import Any

import pytest

from lunar.data.splits import LADDER_SPLITS
from lunar.pages.ladder import climb, numbers

WORDS = ["red", "green", "blue", "black"]
REFUSAL = "I'm sorry, but I don't know the answer to that question."


def answers(forget: int, retain: int, unseen: int = 4, refused: int = 0, rows: int = 5) -> dict[str, list[dict]]:
    """Rows whose ROUGE-1 recall is a number of quarters; ``refused`` general questions of ``rows`` are declined."""
    right = {"forget": forget, "retain": retain, "unseen": unseen, "general": 4}
    found = {
        split: [
            {"id": str(i), "question": "?", "answer": " ".join(WORDS), "prediction": " ".join(WORDS[: right[split]])}
            for i in range(rows)
        ]
        for split in LADDER_SPLITS
    }
    for row in found["general"][:refused]:
        row["prediction"] = REFUSAL
    return found


def ds(forget: int, retain: int) -> float:
    return 100 * math.hypot(forget / 4, 1 - retain / 4)


def up(given: Mapping[str, Any], top: str) -> list[dict[str, Any]]:
    return climb(given, top, resamples=50, seed=0)


RUNGS = {
    "start": answers(4, 1),
    "spans": answers(2, 1, unseen=2),
    "keep": answers(2, 4, refused=1),
    "ridge": answers(3, 4),  # a step down the wrong way
    "choice": answers(0, 4),
}
ASIDES = {"site": answers(1, 4), "harmful": answers(0, 3, refused=5)}


def test_steps_are_changes_of_ds() -> None:
    rows = up(RUNGS, "choice")
    heights = [ds(4, 1), ds(2, 1), ds(2, 4), ds(3, 4), ds(0, 4)]
    assert [row["rung"] for row in rows] == list(RUNGS)
    assert [row["ds"] for row in rows] == pytest.approx(heights)
    steps = [after - before for before, after in itertools.pairwise(heights)]
    assert [row["step"] for row in rows[1:]] == pytest.approx(steps)
    assert "step" not in rows[0] and "share" not in rows[0]
    assert [row["share"] for row in rows[1:]] == pytest.approx([-step / (heights[0] - heights[-1]) for step in steps])
    assert rows[3]["share"] < 0
    assert sum(row["share"] for row in rows[1:]) == pytest.approx(1)


def test_what_else_a_rung_says() -> None:
    rows = {row["rung"]: row for row in up(RUNGS | ASIDES, "choice")}
    row = rows["spans"]
    assert (row["forget"], row["retain"], row["unseen"]) == (0.5, 0.25, 0.5)
    assert (row["forget_refusal"], row["general_refusal"]) == (0.0, 0.0)
    assert rows["keep"]["general_refusal"] == pytest.approx(0.2)
    assert rows["harmful"]["general_refusal"] == 1.0


def test_asides_are_compared_with_the_top() -> None:
    rows = up(RUNGS | ASIDES, "choice")
    assert [row["rung"] for row in rows] == [*RUNGS, *ASIDES]
    # The second aside has nothing to do with the first.
    assert [row["step"] for row in rows[5:]] == pytest.approx([ds(1, 4) - ds(0, 4), ds(0, 3) - ds(0, 4)])
    assert not [row for row in rows[5:] if "share" in row]
    alone = up(RUNGS, "choice")
    assert rows[:5] == alone, "asides take no part in the way"
    assert sum(row["share"] for row in rows[1:5]) == pytest.approx(1)


@pytest.mark.parametrize("between", [{}, {"up": answers(4, 4)}], ids=["at once", "there and back"])
def test_equal_ends_have_no_shares(between: dict[str, Any]) -> None:
    rows = up({"start": answers(2, 3)} | between | {"end": answers(2, 3)}, "end")
    assert [row["share"] for row in rows[1:]] == [None] * (len(between) + 1)
    assert sum(row["step"] for row in rows[1:]) == pytest.approx(0)


def test_a_way_up_has_shares_too() -> None:
    """From better to worse: the shares still add up to the whole."""
    rows = up({"start": answers(0, 4), "half": answers(2, 4), "end": answers(4, 4)}, "end")
    assert [row["step"] for row in rows[1:]] == pytest.approx([50, 50])
    assert [row["share"] for row in rows[1:]] == pytest.approx([0.5, 0.5])


def test_intervals_are_paired() -> None:
    """Rows of different difficulty, all better by the same: DS is uncertain, its change is not."""
    low, high = answers(0, 4), answers(0, 4)
    for i, (before, after) in enumerate(zip(low["forget"], high["forget"], strict=True)):
        before["prediction"] = " ".join(WORDS[: i % 3])
        after["prediction"] = " ".join(WORDS[: i % 3 + 1])
    first, second = up({"start": low, "end": high}, "end")
    assert first["ds_low"] < first["ds"] < first["ds_high"]
    assert second["step"] == pytest.approx(25)
    assert (second["step_low"], second["step_high"]) == pytest.approx((25, 25))


def test_intervals_hold_their_numbers() -> None:
    for row in up(RUNGS | ASIDES, "choice"):
        assert row["ds_low"] - 1e-9 <= row["ds"] <= row["ds_high"] + 1e-9
        if "step" in row:
            assert row["step_low"] - 1e-9 <= row["step"] <= row["step_high"] + 1e-9


def test_same_seed_same_rows() -> None:
    assert climb(RUNGS, "choice", 50, 1) == climb(RUNGS, "choice", 50, 1)


def test_caption_names_the_largest_step_of_the_rungs() -> None:
    found = numbers(up(RUNGS | ASIDES, "choice"), "choice", ["lunar-replication", "lunar"])
    assert (found["foot"], found["top"], found["largest"]) == ("lunar-replication", "lunar", "choice")
    assert found["largest_step"] == f"{ds(0, 4) - ds(3, 4):+.1f}"
    assert (found["foot_ds"], found["top_ds"]) == (f"{ds(4, 1):.1f}", f"{ds(0, 4):.1f}")
    assert found["explained"] == "100%"
