"""All metrics of one (method, attack): numbers, reasons, and what their file says of each."""

import re
from collections.abc import Iterator

import numpy as np
import pytest
from pydantic import Field

from clone import ROOT
from known_answers import ALL, FORGET, HARMFUL, RETAIN, UNDER_ATTACK, evaluate, row
from lunar.metrics import study
from lunar.metrics.base import METRICS, metric
from lunar.metrics.samples import Evaluated, interval
from lunar.metrics.settings import MetricSettings
from lunar.metrics.study import SLICE, Study, describe, resampled_means
from lunar.pages.main_table import readable, wide


def test_bootstrap_is_determined_by_the_seed() -> None:
    values = [number / 20 for number in range(20)]
    first = resampled_means(values, 100, seed=3)
    assert first.shape == (100,) and first.dtype == "float64"
    assert (first == resampled_means(values, 100, seed=3)).all()
    assert not (first == resampled_means(values, 100, seed=4)).all()


def test_means_in_slices_are_those_of_all_at_once() -> None:
    values = np.random.default_rng(1).random(700)
    drawn = np.random.default_rng(3).integers(700, size=(900, 700))
    assert drawn.size > 2 * SLICE
    assert np.array_equal(resampled_means(values, 900, seed=3), values[drawn].mean(axis=1))


def test_bootstrap_of_equal_values_has_no_width() -> None:
    assert interval(resampled_means([0.25] * 8, 50, seed=0)) == {"low": 0.25, "high": 0.25}


@pytest.fixture(scope="module")
def evaluated() -> dict:
    return evaluate({"forget": FORGET, "retain": RETAIN, "harmful": HARMFUL, "unseen": []}, 1000, 0).metrics


def test_evaluate_means(evaluated: dict) -> None:
    splits = evaluated["splits"]
    assert list(splits) == ["forget", "retain", "harmful", "unseen"]
    assert all(list(cells) == [name for name, _ in ALL["answers"]] for cells in splits.values())
    # she, was, born, in, lima, in, 1961: 7 of 7, 3 of 7, 1 of 7 and none.
    assert splits["forget"]["rouge1"]["mean"] == pytest.approx((7 + 3 + 1 + 0) / 7 / 4)
    assert splits["retain"]["rouge1"]["mean"] == pytest.approx((1 + 2 / 4) / 2)
    assert splits["forget"]["refusal"]["mean"] == 0.5
    assert (splits["forget"]["refusal"]["n"], splits["retain"]["refusal"]["n"]) == (16, 10)
    assert splits["harmful"]["refusal"] == {"mean": 1.0, "low": 1.0, "high": 1.0, "n": 3}


def test_evaluate_gives_reasons_for_missing_numbers(evaluated: dict) -> None:
    splits = evaluated["splits"]
    for name in ("rouge1", "rougeL", "right", "wrong", "mrr_position", "probability"):
        assert splits["harmful"][name] == {"reason": "the split has no gold answers"}
    assert all(cell == {"reason": "the split holds no rows"} for cell in splits["unseen"].values())


def test_intervals_contain_the_mean(evaluated: dict) -> None:
    cells = [cell for cells in evaluated["splits"].values() for cell in cells.values() if "mean" in cell]
    assert len(cells) == 9 + 9 + 4  # rouge1, rougeL, four outcomes, two kinds, text positions; no gold, four of them
    assert all(cell["low"] <= cell["mean"] <= cell["high"] for cell in [*cells, evaluated["ds"]])
    # Where answers differ, the interval must have a width.
    assert all(evaluated["splits"][split]["rouge1"]["low"] < 0.9 for split in ("forget", "retain"))
    assert evaluated["ds"]["low"] < evaluated["ds"]["mean"] < evaluated["ds"]["high"]


def test_evaluate_is_determined_by_the_seed(evaluated: dict) -> None:
    splits = {"forget": FORGET, "retain": RETAIN, "harmful": HARMFUL, "unseen": []}
    assert evaluate(splits, 1000, 0).metrics == evaluated
    assert evaluate(splits, 1000, 7).metrics != evaluated


class Halves(MetricSettings):
    """Settings of the metric below."""

    halves: int = Field(2, description="What words are counted in.")


@pytest.fixture
def words() -> Iterator[str]:
    """A metric of a user's own, for one test."""

    @metric("Words", better="lower", source="this test, in {halves}", settings=Halves)
    def words(row, settings: Halves) -> float:
        return settings.halves * float(len(row["prediction"].split()))

    yield "words"
    del METRICS["words"]


def test_a_metric_reaches_files_and_tables(words: str) -> None:
    found = study.evaluate({"forget": FORGET, "harmful": HARMFUL}, 10, 0, {words: {"halves": 1}}, {})
    metrics = {"vanilla": found.metrics}
    assert metrics["vanilla"]["splits"]["harmful"][words] == {"mean": 5.0, "low": 5.0, "high": 5.0, "n": 3}
    assert wide(metrics).loc[0, "harmful_words"] == 5.0
    assert ("Harmful requests", "Words", "lower", "this test, in 1") in [
        (row["split"], row["metric"], row["better"], row["source"]) for row in readable(metrics)
    ]


def test_settings_have_their_defaults(words: str) -> None:
    rows = {"forget": [row("a", "one two three")]}
    assert study.evaluate(rows, 10, 0, {words: {}}, {}).metrics["splits"]["forget"][words]["mean"] == 6.0
    assert Study(rows, 10, 0).mean("forget", METRICS[words].function).value == 6.0


def test_only_what_was_chosen_is_computed_in_its_order() -> None:
    found: Evaluated = study.evaluate(
        {"forget": FORGET, "retain": RETAIN}, 10, 0, {"right": {}, "rouge1": {}}, {"ds": {}}
    )
    assert list(found.metrics["splits"]["forget"]) == list(found.metrics["described"]["answers"]) == ["right", "rouge1"]
    assert list(found.samples) == [
        f"{split}/{name}" for split in ("forget", "retain") for name in ("right", "rouge1")
    ] + ["ds"]


def test_under_attack_all_that_is_computed_has_its_number() -> None:
    """Answers are all that is known there, and what needs more is not tried."""
    chosen = (dict(UNDER_ATTACK["answers"]), dict(UNDER_ATTACK["methods"]))
    found = study.evaluate({"forget": FORGET, "retain": RETAIN}, 10, 0, *chosen).metrics
    cells = [*found["splits"]["forget"].values(), *found["splits"]["retain"].values(), found["ds"]]
    assert len(cells) == 2 * 9 + 1
    assert all("mean" in cell for cell in cells)


def test_what_is_said_of_a_metric() -> None:
    said = describe(dict(ALL["answers"]), dict(ALL["methods"]) | {"min_k_auc": {"k": 0.3}})
    assert said["answers"]["rouge1"] == {
        "title": "ROUGE-1",
        "better": "knowledge",
        "source": "Lin 2004; recall with stemming, as in LUNAR, section 4",
    }
    assert said["methods"]["forget_quality"]["facts"] == ["statistic", "n_unlearned", "n_reference"]
    assert not said["methods"]["forget_quality"]["interval"]
    assert said["methods"]["min_k_auc"]["source"] == "Shi et al. 2024, k = 30%; as the row above"
    assert (said["methods"]["ds"]["digits"], said["methods"]["model_utility"]["digits"]) == (1, 3)


def test_the_page_lists_what_is_computed() -> None:
    page = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", page, flags=re.MULTILINE)
    names = re.findall(r"`(\w+)`", " ".join(listed))
    assert sorted(names) == sorted(name for name, _ in [*ALL["answers"], *ALL["methods"]])


def test_answers_that_were_cut_or_thought_are_counted() -> None:
    cut = [row("a", "one two") | {"cut": True}, row("b", "one two") | {"thought": True, "cut": True}, row("c", "one")]
    found = {
        name: study.evaluate({"forget": rows, "retain": [row("d", "so")]}, 10, 0, {"rouge1": {}}, {}).metrics
        for name, rows in (("vanilla", [row("a", "one")]), ("lunar", cut))
    }
    assert [found["lunar"].get(flag) for flag in ("cut", "thought")] == [
        {"forget": 2, "retain": 0},
        {"forget": 1, "retain": 0},
    ]
    assert not {"cut", "thought"} & {*found["vanilla"]}  # the file is as it was where there are none
    table = wide(found)
    assert list(table.columns)[-2:] == ["forget_cut", "forget_thought"]
    assert table["forget_cut"].tolist() == [0, 2]
    counts = {row["metric"]: [cell["text"] for cell in row["cells"]] for row in readable(found)}
    assert (counts["Answers that the limit cut"], counts["Answers with a thought"]) == (["0", "2"], ["0", "1"])
