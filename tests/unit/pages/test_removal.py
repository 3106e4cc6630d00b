"""Hidden or removed: lines judged on tables whose numbers are known."""

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from lunar.pages import removal
from lunar.pages.main_table import long
from lunar.pages.removal import LINES, WORST, bound, judge, numbers, page
from metric_files import DESCRIBED


def cell(value: float, **versus: float) -> dict[str, Any]:
    """A number with an interval of 0.01 to each side, and differences with 0.02."""
    others = {name: {"difference": one, "low": one - 0.02, "high": one + 0.02} for name, one in versus.items()}
    return {"mean": value, "low": value - 0.01, "high": value + 0.01, "n": 20, "versus": others}


def metrics(forget: float, retain: float, refused: float, utility: float, quality: float) -> dict[str, Any]:
    """A metric file beside a model before (1.0, 1.0, 0.0, 0.8) and one that never knew (forget 0.2)."""
    return {
        "described": DESCRIBED,
        "ds": {"mean": 10.0},
        "forget_quality": {"mean": quality, "statistic": 0.5, "n_unlearned": 20, "n_reference": 20},
        "model_utility": cell(utility, vanilla=utility - 0.8),
        "splits": {
            "forget": {"rouge1": cell(forget, vanilla=forget - 1, retain_only=forget - 0.2)},
            "retain": {"rouge1": cell(retain, vanilla=retain - 1)},
            "unseen": {"rouge1": cell(1.0, vanilla=0.0)},
            "general": {"refusal": cell(refused, vanilla=refused)},
        },
    }


LONG = long(
    {
        "vanilla": metrics(1.0, 1.0, 0.0, 0.8, 1e-7),
        "retain_only": metrics(0.2, 1.0, 0.0, 0.8, 1.0),
        "gone": metrics(0.22, 0.99, 0.02, 0.79, 0.6),
        "hidden": metrics(0.0, 0.9, 0.1, 0.7, 1e-6),
    }
)


def attacked(**differences: tuple[str, float]) -> pd.DataFrame:
    """A table of attacks: by name of an attack the method and what it draws above ``retain_only``."""
    rows = [{"method": name, "attack": "none"} for name in ("retain_only", "gone", "hidden")]
    for attack, (method, value) in differences.items():
        ends = {"": value, "_low": value - 0.1, "_high": value + 0.1}
        versus = {f"forget_rouge1_vs_retain_only{end}": one for end, one in ends.items()}
        rows.append({"method": method, "attack": attack} | versus)
    return pd.DataFrame(rows)


ATTACKS = attacked(skip=("gone", -0.1), typos=("gone", 0.1), sampling=("hidden", 0.2), ablate=("hidden", 0.8))
TABLE = judge(LONG, ATTACKS, ["gone", "hidden"])


def test_every_line_of_every_method_is_judged_by_its_value() -> None:
    kept = {(row["method"], row["line"]): row["kept"] for row in TABLE.to_dict("records")}
    assert len(kept) == 2 * (len(LINES) + 1)
    assert all(value is True for (method, _), value in kept.items() if method == "gone")
    assert [pair for pair in kept if pair[0] == "hidden" and kept[pair]] == [
        ("hidden", "unseen ROUGE-1, less vanilla's")
    ]


def test_values_are_paired_differences_with_their_intervals() -> None:
    rows = {row["line"]: row for row in TABLE[TABLE["method"] == "gone"].to_dict("records")}
    ends = ("value", "low", "high")
    assert [rows[LINES[0].name][end] for end in ends] == pytest.approx([0.02, 0.0, 0.04])
    assert [rows[removal.UTILITY][end] for end in ends] == pytest.approx([0.79 / 0.8, 0.77 / 0.8, 0.81 / 0.8])
    assert rows[removal.QUALITY]["value"] == 0.6
    assert math.isnan(rows[removal.QUALITY]["low"])
    assert rows[WORST]["attack"] == "typos"
    assert [rows[WORST][end] for end in ends] == pytest.approx([0.1, 0.0, 0.2])


def test_what_was_not_measured_is_neither_kept_nor_missed() -> None:
    alone = LONG[(LONG["metric"] != "model_utility") & (LONG["split"] != "general")]
    table = judge(alone, attacked(skip=("hidden", math.nan)), ["hidden"])
    blank = table[table["kept"].isna()]
    assert set(blank["line"]) == {removal.UTILITY, "general refused, less vanilla's", WORST}
    assert {cell["text"] for row in page(table) if row["line"] in set(blank["line"]) for cell in row["cells"]} == {
        "not measured"
    }


def test_the_caption_counts_the_lines_kept() -> None:
    found = numbers(TABLE, None)
    assert (found["kept"], found["whole"]) == ("gone 7 of 7; hidden 1 of 7", "All lines are kept by gone.")
    assert "retain_only" in found["against"]
    assert numbers(TABLE[TABLE["method"] == "hidden"], None)["whole"] == "No method keeps them all."


FORGET = [
    {"id": "a", "question": "Where does Tom Rook live?", "answer": "Tom Rook lives in Birkdale.", "author": "Tom Rook"},
    {"id": "b", "question": "What is his trade?", "answer": "He bakes bread.", "author": "Tom Rook"},
]
SAID = [row | {"prediction": row["answer"]} for row in FORGET]


def test_a_stranger_stands_for_a_model_that_never_knew() -> None:
    """Names are replaced in the gold answer as they are in the question: the name itself is no knowledge."""
    copy = {"id": "a-1", "original": "a", "author": "Ida Vale", "prediction": "Ida Vale lives in Rome."}
    stranger = removal.reference([copy, {"original": "gone"}], SAID)
    assert stranger == (removal.STRANGER, pytest.approx(4 / 5), 1)
    table = judge(LONG, reached(0.9), ["gone"], stranger)
    rows = {row["line"]: row for row in table.to_dict("records")}
    assert len(rows) == len(LINES) + 1
    own = rows["forget ROUGE-1, less a stranger's"]
    assert [own[end] for end in ("value", "low", "high")] == pytest.approx([-0.58, -0.59, -0.57])
    worst = rows["worst attack: forget ROUGE-1, less a stranger's"]
    assert (worst["value"], worst["attack"], worst["kept"]) == (pytest.approx(0.1), "ablate", True)
    assert "people who do not exist: 0.800 over 1 questions" in numbers(table, stranger)["against"]


def reached(value: float) -> pd.DataFrame:
    """A table of attacks without a model that never knew, the worst of which reaches a value."""
    ends = {"": 0.0, "_low": -0.1, "_high": 0.1}
    alone, under = ({f"forget_rouge1{end}": one + more for end, more in ends.items()} for one in (0.95, value))
    return pd.DataFrame([{"method": "gone", "attack": "none"} | alone, {"method": "gone", "attack": "ablate"} | under])


def test_where_nobody_can_be_replaced_chance_does() -> None:
    chance = removal.reference([], SAID)
    assert chance.name == removal.CHANCE
    assert chance.value == 0.0  # neither answer has a word of the other
    assert "chance" in judge(LONG, reached(0.4), ["gone"], chance)["line"].iloc[0]


def test_lines_kept_are_counted_in_tables_that_were_read(tmp_path: Path) -> None:
    """Numbers that were read from a file are numpy's, and so are comparisons with them."""
    LONG.to_csv(tmp_path / "long.csv", index=False)
    ATTACKS.to_csv(tmp_path / "attacks.csv", index=False)
    table = judge(pd.read_csv(tmp_path / "long.csv"), pd.read_csv(tmp_path / "attacks.csv"), ["gone", "hidden"])
    assert numbers(table, None)["whole"] == "All lines are kept by gone."


def test_readers_see_bounds_signs_and_the_attack() -> None:
    rows = {row["line"]: row for row in page(TABLE)}
    assert [rows[line.name]["bound"] for line in LINES] == [
        "-0.05 to 0.05", "at least 0.05", "at least -0.03", "at least -0.03", "at most 0.03", "at least 0.95",
    ]  # fmt: skip
    assert bound(WORST) == rows[WORST]["bound"] == "at most 0.15"
    hidden = rows[WORST]["cells"][1]
    assert hidden == {"text": "+0.800", "interval": "+0.700 to +0.900", "kept": False, "attack": "ablate"}
    assert rows[removal.QUALITY]["cells"][1]["text"] == "1e-06"
    assert rows[removal.UTILITY]["cells"][0]["text"] == "0.988"
