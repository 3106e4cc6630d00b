"""Results side by side over seeds: numbers, page and caption."""

import io
from pathlib import Path

import pandas as pd
import pytest

from lunar.pages.removal import BOUNDS, QUALITY, WORST
from lunar.pages.render import render
from lunar.pages.seeds import HEADLINES, NOT_JUDGED, attacked, headline, lines, numbers, spread

TEMPLATES = Path(__file__).parents[3] / "report/templates"


def main_table(ds: float, forget: float) -> pd.DataFrame:
    found = {"method": ["vanilla", "lunar"], "attack": "none", "ds": [90.0, ds], "ds_low": [80.0, 5.0]}
    return pd.DataFrame(found | {"forget_rouge1": [1.0, forget], "utility": [None, None]})


def attack_table(ablated: float) -> pd.DataFrame:
    found = {"method": ["lunar", "lunar", "lunar"], "attack": ["none", "ablate", "typos"], "ds": [1.0, 99.0, 2.0]}
    return pd.DataFrame(found | {"forget_rouge1": [0.1, ablated, 0.1], "forget_rouge1_low": 0.0})


@pytest.fixture
def table() -> pd.DataFrame:
    tables = {"0": main_table(10.0, 0.1), "7": main_table(16.0, 0.2)}
    return spread(tables, {"0": attack_table(0.9), "7": attack_table(0.7)})


def removal_table(quality: float | None, worst: float) -> pd.DataFrame:
    """As read back from CSV."""
    rows = [
        {"method": "lunar", "line": QUALITY, "value": quality, "kept": None if quality is None else quality >= 0.05},
        {"method": "lunar", "line": WORST, "value": worst, "kept": worst <= 0.15, "attack": "ablate"},
    ]
    return pd.read_csv(io.StringIO(pd.DataFrame(rows).to_csv(index=False)))


def test_every_number_once_a_seed(table: pd.DataFrame) -> None:
    rows = table.set_index(["method", "attack", "metric"])
    assert list(rows.index) == [
        ("vanilla", "none", "ds"),
        ("vanilla", "none", "forget_rouge1"),
        ("lunar", "none", "ds"),
        ("lunar", "none", "forget_rouge1"),  # of the main table; attacks' own row without an attack is left out
        ("lunar", "ablate", "ds"),
        ("lunar", "ablate", "forget_rouge1"),
        ("lunar", "typos", "ds"),
        ("lunar", "typos", "forget_rouge1"),
    ]
    ds = rows.loc[("lunar", "none", "ds")]
    assert (ds["seed 0"], ds["seed 7"], ds["mean"], ds["lowest"], ds["highest"]) == (10.0, 16.0, 13.0, 10.0, 16.0)
    assert ds["deviation"] == pytest.approx(18**0.5)


def test_without_attacks_and_with_a_method_that_one_seed_lacks() -> None:
    found = spread({"0": main_table(10.0, 0.1), "7": main_table(16.0, 0.2)[:1]}, {})
    assert set(found["attack"]) == {"none"}
    last = found.iloc[-1]
    assert (last["method"], last["seed 0"], last["mean"]) == ("lunar", 0.1, 0.1)
    assert pd.isna(last["seed 7"])
    assert attacked(found) == {"methods": [], "rows": []}
    assert headline(found)[1]["cells"][0]["seeds"] == "10.0 · –"


def test_headline_has_mean_deviation_and_each_seed(table: pd.DataFrame) -> None:
    rows = headline(table)
    assert [row["method"] for row in rows] == ["vanilla", "lunar"]
    cells = dict(zip(HEADLINES, rows[1]["cells"], strict=True))
    assert cells["DS"] == {"text": "13.0 ± 4.2", "seeds": "10.0 · 16.0"}
    assert cells["forget"] == {"text": "0.150 ± 0.071", "seeds": "0.100 · 0.200"}
    assert cells["unseen"] == {"text": "", "seeds": ""}  # not measured here


def test_attacks_are_rows(table: pd.DataFrame) -> None:
    found = attacked(table)
    assert found["methods"] == ["lunar"]
    assert [row["attack"] for row in found["rows"]] == ["ablate", "typos"]
    assert found["rows"][0]["cells"] == [{"text": "0.800 ± 0.141", "seeds": "0.900 · 0.700"}]


def test_lines_say_in_how_many_seeds_they_are_kept() -> None:
    found = lines({"0": removal_table(0.2, 0.1), "7": removal_table(0.01, 0.12)})
    assert found["methods"] == ["lunar"]
    quality, worst = (row["cells"][0] for row in found["rows"])
    assert (quality["kept"], quality["whole"], quality["seeds"]) == ("1 of 2", False, "0.2 · 0.01")
    assert (worst["kept"], worst["whole"], worst["seeds"]) == ("2 of 2", True, "+0.100 · +0.120")
    assert worst["attacks"] == "ablate"
    assert set(BOUNDS) >= {row["line"] for row in found["rows"]}


def test_a_line_that_was_not_measured_is_not_kept() -> None:
    found = lines({"0": removal_table(None, 0.1), "7": removal_table(0.3, 0.1)})
    assert found["rows"][0]["cells"][0]["kept"] == "1 of 2"
    assert found["rows"][0]["cells"][0]["seeds"] == "– · 0.3"


def test_the_caption_counts_lines_seed_by_seed() -> None:
    found = {"0": removal_table(0.2, 0.1), "7": removal_table(0.01, 0.12)}
    assert numbers(found) == {"kept": "lunar 2, 1 of 2"}
    assert numbers({}) == {"kept": NOT_JUDGED}


@pytest.mark.parametrize("judged", [True, False])
def test_the_page_shows_what_there_is(table: pd.DataFrame, judged: bool) -> None:
    removal = {"0": removal_table(0.2, 0.1), "7": removal_table(0.01, 0.12)}
    page = render(
        TEMPLATES / "seeds.html.j2",
        style=TEMPLATES / "style.css",
        title="toy",
        seeds=["0", "7"],
        headlines=list(HEADLINES),
        methods=headline(table),
        attacks=attacked(table),
        lines=lines(removal) if judged else None,
        columns=list(table.columns),
        rows=table.to_dict("records"),
    )
    assert "13.0 ± 4.2" in page and "in the order 0 · 7" in page
    assert ("Hidden or removed?" in page) == judged
