"""What the figure of the entity edits shows, from a table of rehearsals and facts of two edits."""

from pathlib import Path
from typing import Any

import pytest

from lunar.pages.entity import first_block, named, numbers, spectra, tried

TABLE = """setting,pair,blocks,factor,forget,held_out,refused,score
0,1,[3],2.0,0.2,0.9,0.0,1
1,1,"[2, 5]",1.5,0.4,1.0,0.0,1
0,2,[3],2.0,0.4,0.7,0.0,1
"""


@pytest.fixture
def facts() -> dict[str, Any]:
    def block(rank: int, **moved: float) -> dict[str, Any]:
        return {"singular_values": [3.0, 1.0][:rank], "rank": rank, "moved": moved}

    return {
        "one": {"blocks": {"3": block(2, **{"forget suffix": 0.6, "retain question": 0.1})}},
        "two": {"blocks": {"2": block(1), "5": block(7)}},
    }


def test_settings_tried_are_means_over_pairs_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text(TABLE, encoding="utf-8")
    rows = tried(str(tmp_path / "one.csv"), {"blocks": [2, 5], "factor": 1.5})
    assert [row["label"] for row in rows] == ["block 3, × 2", "2 blocks, × 1.5"]
    assert [row["chosen"] for row in rows] == [False, True]
    assert rows[0]["forget"] == pytest.approx(0.3) and rows[0]["held_out"] == pytest.approx(0.8)
    assert not any(row["chosen"] for row in tried(str(tmp_path / "one.csv"), {"blocks": [2, 5], "factor": 2.0}))


def test_a_choice_of_blocks_has_a_name() -> None:
    assert (named([4]), named([4, 6, 8])) == ("block 4", "3 blocks")


def test_every_block_is_a_line_and_a_method_has_one_label(facts: dict[str, Any]) -> None:
    lines = spectra(facts)
    assert [(one["method"], one["label"]) for one in lines] == [
        ("one", "one, block 3"),
        ("two", "two, 2 blocks"),
        ("two", None),
    ]
    assert [one["values"] for one in lines] == [[3.0, 1.0], [3.0], [3.0, 1.0]]


def test_numbers_are_of_the_first_block_and_ranks_of_all(facts: dict[str, Any]) -> None:
    assert first_block(facts)[:2] == ("one", "3")
    assert numbers(facts, 5) == {
        "tried": 5,
        "method": "one",
        "block": "3",
        "lowest": 1,
        "highest": 7,
        "moved": 0.6,
        "kept": 0.1,
    }
    # An edit that moves no such span has moved none of it.
    found = numbers({"two": facts["two"]}, 0)
    assert (found["block"], found["moved"], found["kept"]) == ("2", 0.0, 0.0)
