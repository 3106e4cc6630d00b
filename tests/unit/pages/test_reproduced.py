"""Verdicts on a run's numbers beside the recorded ones: each kind, the edges, and records that are damaged."""

import math
from pathlib import Path

import pandas as pd
import pytest
from scipy.stats import norm

from clone import ROOT
from lunar.errors import LunarError
from lunar.pages.names import HEADLINES
from lunar.pages.reproduced import (
    ALIKE,
    DIFFERS,
    INTERVAL,
    MISSING,
    SAME,
    SPREAD,
    WORST,
    Tables,
    apart,
    further_seed,
    interval,
    judge,
    listing,
    read_table,
    recorded_tables,
    rows,
    summary,
    verdict,
)
from lunar.plan.record import record

NONE = (None, None)
QUESTIONS = pd.DataFrame(
    [("forget", "rouge1", 20), ("forget", "refusal", 20), ("general", "refusal", 80)],
    columns=["split", "metric", "n"],
)


def main(**methods: dict) -> pd.DataFrame:
    """A main table: every headline number 0.5 (DS 20) in the interval 0.4 to 0.6 (10 to 30), but for what is given."""
    found = []
    for name, given in methods.items():
        row = {"method": name, "attack": "none"}
        for column in HEADLINES.values():
            row |= {column: 20.0, "ds_low": 10.0, "ds_high": 30.0} if column == "ds" else {column: 0.5}
            row |= {f"{column}_low": 0.4, f"{column}_high": 0.6} if column != "ds" else {}
        found.append(row | given)
    return pd.DataFrame(found)


def attacked(*rows: tuple[str, str, float]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["method", "attack", "forget_rouge1"])
    return table.assign(forget_rouge1_low=table["forget_rouge1"] - 0.1, forget_rouge1_high=table["forget_rouge1"] + 0.1)


def seeds(*rows: tuple) -> pd.DataFrame:
    names = [f"seed {number}" for number in range(len(rows[0]) - 3)]
    return pd.DataFrame(rows, columns=["method", "attack", "metric", *names])


def verdicts(table: pd.DataFrame) -> dict[str, str]:
    return dict(zip(table["number"], table["verdict"], strict=True))


@pytest.mark.parametrize(
    ("value", "within", "expected", "digits", "said"),
    [
        (0.5004, NONE, NONE, 3, SAME),
        (0.5006, NONE, NONE, 3, DIFFERS),
        (0.54, NONE, NONE, 1, SAME),
        (0.6, (0.4, 0.6), NONE, 3, INTERVAL),
        (0.61, (0.4, 0.6), NONE, 3, DIFFERS),
        (0.61, (0.4, 0.6), (0.3, 0.62), 3, SPREAD),
        (0.63, (0.4, 0.6), (0.3, 0.62), 3, DIFFERS),
        (0.55, (math.nan, math.nan), (0.3, 0.62), 3, SPREAD),
        (math.nan, (0.4, 0.6), (0.3, 0.62), 3, MISSING),
        (None, NONE, NONE, 3, MISSING),
    ],
)
def test_verdicts(value, within, expected, digits, said) -> None:
    assert verdict(value, 0.5, within, expected, digits) == said


def test_a_share_of_all_or_none_has_the_interval_of_the_rule_of_three() -> None:
    assert interval(1.0, 1.0, 1.0, 20) == (0.85, 1.0)
    assert interval(0.0, 0.0, 0.0, 2) == (0.0, 1.0)
    # DS is no mean of scores, and 0.95 has an interval of its own.
    assert interval(0.0, 0.0, 0.0, None) == (0.0, 0.0)
    assert interval(0.95, 0.85, 1.0, 20) == (0.85, 1.0)
    # What the rule says: with 3 in 20 the chance to see none is about 5%.
    assert (1 - 3 / 20) ** 20 == pytest.approx(0.05, abs=0.015)


def test_one_more_seed_falls_into_its_interval_in_95_of_100_cases() -> None:
    drawn = norm.rvs(loc=0.5, scale=0.1, size=(2000, 4), random_state=0).clip(0, 1)
    inside = [low <= more <= high for *known, more in drawn for low, high in [further_seed(known, most=1)]]
    assert sum(inside) / len(inside) == pytest.approx(0.95, abs=0.015)
    between = [min(known) <= more <= max(known) for *known, more in drawn]
    assert sum(between) / len(between) == pytest.approx(0.5, abs=0.05)  # so their range alone would not do


def test_one_seed_expects_nothing() -> None:
    assert further_seed([0.5]) == further_seed([]) == NONE
    assert further_seed([0.5, 0.5, 0.5]) == (0.5, 0.5)
    assert further_seed([0.9, 1.0], most=1) == (0.0, 1.0)  # two seeds say next to nothing


def test_each_number_is_judged_by_its_own_interval() -> None:
    there = Tables(main(npo={"forget_refusal": 1.0, "forget_refusal_low": 1.0, "forget_refusal_high": 1.0}))
    own = main(npo={"ds": 30.2, "forget_refusal": 0.9, "unseen_rouge1": 0.7, "retain_rouge1": 0.45})
    table = judge(Tables(own), QUESTIONS, there)
    assert verdicts(table) == {
        **dict.fromkeys(HEADLINES, SAME),
        **{"DS": DIFFERS, "refused": INTERVAL, "unseen": DIFFERS, "retain": INTERVAL},
    }
    assert summary(table) == {
        "same": 6,
        "of": 8,
        "line": "6 of 8 headline numbers reproduce",
        "verdicts": {SAME: 4, INTERVAL: 2, DIFFERS: 2},
    }


def test_seeds_widen_what_counts_as_the_same() -> None:
    spread = seeds(("npo", "none", "unseen_rouge1", 0.5, 0.6, 0.7), ("npo", "none", "ds", 20.0, 21.0, 20.5))
    own = main(npo={"unseen_rouge1": 0.7, "ds": 35.0})
    found = verdicts(judge(Tables(own), QUESTIONS, Tables(main(npo={}), None, spread)))
    assert (found["unseen"], found["DS"]) == (SPREAD, DIFFERS)


def test_the_worst_attack_is_of_those_that_both_runs_have() -> None:
    there = Tables(main(npo={}), attacked(("npo", "none", 0.5), ("npo", "ablate", 0.9), ("npo", "relearn", 0.6)))
    here = Tables(main(npo={}), attacked(("npo", "none", 0.5), ("npo", "typos", 0.99), ("npo", "relearn", 0.68)))
    [worst] = [row for row in rows(judge(here, QUESTIONS, there)) if row["number"] == WORST]
    assert (worst["value"], worst["recorded"], worst["interval"]) == (
        "0.680 (relearn)",
        "0.600 (relearn)",
        "0.500 to 0.700",
    )
    assert worst["verdict"] == INTERVAL
    assert apart(here, there) == ["This run does not attack npo by ablate, as the record does."]
    alone = judge(Tables(main(npo={})), QUESTIONS, there)
    assert WORST not in set(alone["number"])


def test_each_seed_s_worst_attack_is_spread() -> None:
    spread = seeds(
        ("npo", "ablate", "forget_rouge1", 0.2, 0.9, 0.6), ("npo", "relearn", "forget_rouge1", 0.6, 0.3, 0.7)
    )
    there = Tables(main(npo={}), attacked(("npo", "ablate", 0.2), ("npo", "relearn", 0.6)), spread)
    table = judge(there, QUESTIONS, there).set_index("number")
    assert tuple(table.loc[WORST, ["seeds_low", "seeds_high"]]) == pytest.approx(further_seed([0.6, 0.9, 0.7], most=1))


def test_what_was_not_measured_here_does_not_reproduce_and_what_is_not_recorded_does_not_count() -> None:
    own, there = main(npo={"forget_rouge1": None}), main(npo={"unseen_rouge1": None})
    found = verdicts(judge(Tables(own), QUESTIONS, Tables(there)))
    assert found["forget"] == MISSING and "unseen" not in found
    gone = verdicts(judge(Tables(own.drop(columns="general_refusal")), QUESTIONS, Tables(there)))
    assert gone["general refused"] == MISSING


def test_methods_of_one_run_alone_are_named_and_not_counted() -> None:
    own, there = Tables(main(npo={}, mine={})), Tables(main(npo={}, dpo={}))
    table = judge(own, QUESTIONS, there)
    assert set(table["method"]) == {"npo"}
    assert apart(own, there) == [
        "This run does not compare these recorded methods: dpo.",
        "The record does not have these methods: mine.",
    ]
    nothing = summary(judge(Tables(main(mine={})), QUESTIONS, there))
    assert (nothing["same"], nothing["of"]) == (0, 0)
    assert nothing["line"] == "no headline number is recorded of these methods"


def test_every_record_reproduces_itself() -> None:
    names = [path.name for path in sorted((ROOT / "docs/recorded").iterdir())]
    assert "authors-smollm2" in names
    for name in names:
        files = record(name)
        found = recorded_tables(files["main"], files["attacks"], files["seeds"])
        assert set(judge(found, QUESTIONS, found)["verdict"]) == {SAME}, name


def test_two_runs_of_one_experiment_are_as_far_apart_as_the_docs_say() -> None:
    """The default experiment has two recorded runs. Trained methods move by more than the luck of the questions."""
    folder = ROOT / "docs/recorded/authors-smollm2-earlier"
    files = record("authors-smollm2")
    own = recorded_tables([folder / "main.csv"], [folder / "attacks.csv"], [])
    asked = {"forget": 20, "retain": 100, "unseen": 40, "general": 80}
    counted = [(split, metric, n) for split, n in asked.items() for metric in ("rouge1", "refusal", "gibberish")]
    questions = pd.DataFrame(counted, columns=QUESTIONS.columns)
    table = judge(own, questions, recorded_tables(files["main"], files["attacks"], files["seeds"]))
    found = summary(table)
    said = f"Of its {found['of']} headline numbers {found['same']} reproduce."
    assert said in (ROOT / "docs/compare.md").read_text(encoding="utf-8")
    differing = table[table["verdict"] == DIFFERS]
    assert set(differing[differing["method"] == "lunar-entity"]["number"]) == {WORST}
    closed = {"vanilla", "retain_only", "lunar", "lunar-topk", "lunar-entity-spread"}
    assert not closed & set(differing["method"])


def test_a_record_of_seeds_alone_is_that_of_its_first_seed(tmp_path: Path) -> None:
    path = tmp_path / "seeds.csv"
    seeds(
        ("vanilla", "none", "ds", 99.0, 98.0),
        ("npo", "none", "ds", 20.0, 30.0),
        ("npo", "ablate", "forget_rouge1", 0.5, 0.7),
    ).to_csv(path, index=False)
    found = recorded_tables([], [], [path])
    assert list(found.main["method"]) == ["vanilla", "npo"] and list(found.main["ds"]) == [99.0, 20.0]
    table = judge(found, QUESTIONS, found)
    assert list(table["number"]) == ["DS", "DS", WORST] and set(table["verdict"]) == {SAME}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"main.csv: no CSV table \(No columns"),
        ("method,attack,ds\nnpo,none,1\nnpo,none,2,3\n", r"main.csv: no CSV table"),
        ("name,ds\nnpo,1\n", "main.csv: no column method and no attack"),
        ("method,attack,ds\nnpo,none,1\nnpo,none,2\n", "main.csv:3: a second row of npo, none"),
        ("method,attack,ds\nnpo,none,1\ndpo,none,much\n", "main.csv:3: ds is 'much', which is no number"),
        ("method,attack,forget_rouge1_low\nnpo,none,x\n", "main.csv:2: forget_rouge1_low is 'x'"),
    ],
)
def test_a_damaged_record_is_named_with_the_way_out(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "main.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(LunarError, match=said) as error:
        read_table(path)
    assert "git checkout docs/recorded" in str(error.value)


def test_a_record_without_main_table_and_seeds_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "seeds.csv"
    path.write_text("method,attack,metric\nnpo,none,ds\n", encoding="utf-8")
    with pytest.raises(LunarError, match=r"seeds\.csv: no column metric, or none of a seed"):
        recorded_tables([], [], [path])
    with pytest.raises(LunarError, match=r"no main\.csv and no seeds\.csv of this experiment; record one"):
        recorded_tables([], [], [])


def test_the_listing_has_what_differs_and_what_could_explain_it() -> None:
    there = Tables(main(npo={}, dpo={}))
    own = Tables(main(npo={"unseen_rouge1": 0.7}))
    table = judge(own, QUESTIONS, there)
    told = {**summary(table), "apart": apart(own, there), "unlike": [], "unknown": []}
    told["differing"] = [row for row in rows(table) if row["verdict"] == DIFFERS]
    said = listing(told).splitlines()
    assert said[0] == "  7 of 8 headline numbers reproduce: same 7, differs 1"
    assert "  npo     unseen  0.700  0.500     0.400 to 0.600" in said
    assert f"  {ALIKE}" in said and said[-1].endswith("recorded methods: dpo.")
    processor = {"what": "Processor", "here": "A", "recorded": "B"}
    explained = listing(told | {"unlike": [processor], "unknown": ["Python"]})
    assert "  Processor: A; recorded: B\n  not recorded, so perhaps another: Python" in explained
    assert ALIKE not in explained
