"""The figure "hidden or removed": what is drawn of each edit, and that its words do not cover each other."""

import math

import pandas as pd
import pytest
import yaml

from clone import ROOT
from lunar.pages.hidden import draw, numbers, points
from lunar.pages.kinds import kinds
from lunar.pages.removal import CHANCE, LEVEL, STRANGER, UNDER, WORST
from overlapping import overlaps

RECORDED = sorted(path.parent for path in (ROOT / "docs/recorded").glob("*/removal.csv"))
SHIPPED = yaml.safe_load((ROOT / "config/methods.yaml").read_text(encoding="utf-8"))["defaults"]["methods"]
ATTACKS = pd.DataFrame(
    [
        {"method": "lunar", "attack": "none", "forget_rouge1": 0.1},
        {"method": "lunar", "attack": "ablate", "forget_rouge1": 0.9},
        {"method": "npo", "attack": "none", "forget_rouge1": 0.25},
        {"method": "npo", "attack": "typos", "forget_rouge1": 0.3},
    ]
)


def removal(level: str, under: str) -> pd.DataFrame:
    rows = [("lunar", level, -0.1, ""), ("lunar", under, 0.6, "ablate"), ("npo", level, 0.05, "")]
    rows.append(("npo", under, 0.125, "typos"))
    return pd.DataFrame(rows, columns=["method", "line", "value", "attack"])


def test_edits_stand_beside_what_never_knew_those_first_that_hide_least() -> None:
    first, second = points(ATTACKS, removal(LEVEL.format("retain_only's"), WORST))
    assert first == {
        "method": "npo", "alone": 0.25, "under": 0.3, "attack": "typos", "beside": pytest.approx(0.175),
        "level": pytest.approx(0.2), "against": "never knew",
    }  # fmt: skip
    assert (second["method"], second["alone"], second["under"]) == ("lunar", 0.1, 0.9)
    assert (second["beside"], second["level"]) == (pytest.approx(0.3), pytest.approx(0.2))
    assert numbers([first, second])["most"] == "lunar gives 0.10 alone and 0.90 under ablate (never knew: 0.30)"


@pytest.mark.parametrize(("name", "words"), [(STRANGER, "asked about strangers"), (CHANCE, "by chance")])
def test_what_stands_for_a_model_that_never_knew_is_named(name: str, words: str) -> None:
    found = points(ATTACKS, removal(LEVEL.format(name), UNDER.format(name)))
    assert [one["against"] for one in found] == [words, words]


def test_without_anything_that_never_knew_the_attack_that_draws_most_above_none_stands() -> None:
    table = removal(LEVEL.format("retain_only's"), WORST).assign(value=math.nan, attack=math.nan)
    attacks = ATTACKS.assign(forget_rouge1_vs_retain_only=math.nan, forget_rouge1_vs_unattacked=[0, 0.8, 0, 0.05])
    first, second = points(attacks, table)
    assert (first["method"], first["attack"], second["attack"]) == ("npo", "typos", "ablate")
    assert {first[name] for name in ("beside", "level", "against")} == {None}
    assert numbers([first])["least"] == "npo gives 0.25 alone and 0.30 under typos"
    [axis] = draw([first, second], kinds({"npo": "npo", "lunar": "redirection"})).axes
    assert not [text for text in axis.texts if "never knew" in text.get_text()]


@pytest.mark.parametrize("folder", RECORDED, ids=lambda path: path.name)
def test_words_of_recorded_runs_do_not_cover_each_other(folder) -> None:
    attacks, table = (pd.read_csv(folder / f"{name}.csv") for name in ("attacks", "removal"))
    found = points(attacks, table)
    assert {one["method"] for one in found} == set(table["method"])
    figure = draw(found, kinds({one["method"]: SHIPPED[one["method"]].get("recipe", "") for one in found}))
    figure.canvas.draw()
    [axis] = figure.axes
    assert not overlaps([*axis.texts, *axis.get_yticklabels(), *axis.get_xticklabels()])
    for one, tick in zip(found, axis.get_yticklabels(), strict=True):
        assert tick.get_text() == one["method"]
    said = {text.get_text() for text in axis.texts}
    assert {f"{one['under']:.2f}  {one['attack']}" for one in found} <= said
