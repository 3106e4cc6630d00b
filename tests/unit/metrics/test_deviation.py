"""The deviation score by hand, and its interval against a bootstrap by loop."""

import math

import pytest

from known_answers import FORGET, HARMFUL, RETAIN, evaluate, means_by_loop, percentile
from lunar.errors import LunarError
from lunar.metrics.deviation import deviation_score
from lunar.metrics.rouge import rouge1


@pytest.mark.parametrize(
    ("forget", "retain", "expected"),
    [
        (0.0, 1.0, 0.0),
        (1.0, 1.0, 100.0),
        (0.0, 0.0, 100.0),
        (1.0, 0.0, 141.4214),
        (0.3, 0.6, 50.0),  # 3, 4, 5
        (0.5, 0.7249, 57.0687),  # sqrt(0.25 + 0.07568) = 0.570687
        (0.24, 0.475, 57.7257),  # sqrt(0.0576 + 0.275625) = 0.577257
    ],
)
def test_deviation_score_by_hand(forget: float, retain: float, expected: float) -> None:
    assert deviation_score(forget, retain) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("wrong", [-0.01, 1.01, 57.0, float("nan")])
def test_deviation_score_outside_its_range(wrong: float) -> None:
    with pytest.raises(LunarError, match="forget_rouge1 must be between 0 and 1"):
        deviation_score(wrong, 0.5)
    with pytest.raises(LunarError, match="retain_rouge1 must be between 0 and 1"):
        deviation_score(0.5, wrong)


@pytest.fixture(scope="module")
def evaluated() -> dict:
    return evaluate({"forget": FORGET, "retain": RETAIN}, 1000, 0).metrics


@pytest.mark.parametrize("missing", ["forget", "retain"])
def test_ds_needs_both_splits(missing: str) -> None:
    splits = {"forget": FORGET, "retain": RETAIN}
    reason = {"reason": "needs gold answers on the splits forget and retain"}
    without = {name: rows for name, rows in splits.items() if name != missing}
    assert evaluate(without, 10, 0).metrics["ds"] == reason
    assert evaluate(splits | {missing: HARMFUL}, 10, 0).metrics["ds"] == reason
    # One row without an answer is enough: a mean over the others would be of another set.
    assert evaluate(splits | {missing: splits[missing] + HARMFUL[:1]}, 10, 0).metrics["ds"] == reason


def test_ds_is_that_of_the_means(evaluated: dict) -> None:
    forget, retain = (evaluated["splits"][split]["rouge1"]["mean"] for split in ("forget", "retain"))
    assert evaluated["ds"]["mean"] == deviation_score(forget, retain)
    assert evaluated["ds"]["mean"] == pytest.approx(100 * math.sqrt((11 / 28) ** 2 + 0.25**2))


def test_ds_interval_against_a_bootstrap_by_loop(evaluated: dict) -> None:
    forget, retain = ([rouge1(one) for one in rows] for rows in (FORGET, RETAIN))
    pairs = zip(means_by_loop(forget, 1500, 5), means_by_loop(retain, 1500, 6), strict=True)
    loop = [100 * math.sqrt(f**2 + (1 - r) ** 2) for f, r in pairs]
    assert evaluated["ds"]["low"] == pytest.approx(percentile(loop, 0.025), abs=2.5)
    assert evaluated["ds"]["high"] == pytest.approx(percentile(loop, 0.975), abs=2.5)
