"""Bootstrap samples: intervals, their file, and paired differences."""

import math
import random
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest

from known_answers import FORGET, KNOWS, NEVER, RETAIN, evaluate, likely, means_by_loop, percentile
from lunar.errors import LunarError
from lunar.files import write_json
from lunar.metrics.samples import compare, interval, read_evaluated, read_evaluated_attacks, write_samples
from lunar.metrics.study import resampled_means
from lunar.metrics.tofu import probability


def test_difference_from_itself_is_zero() -> None:
    found = evaluate({"forget": FORGET, "retain": RETAIN}, 50, 0)
    compare("vanilla", found, {"vanilla": found})
    nothing = {"vanilla": {"difference": 0.0, "low": 0.0, "high": 0.0}}
    assert found.metrics["splits"]["forget"]["rouge1"]["versus"] == found.metrics["ds"]["versus"] == nothing


def test_what_has_no_samples_is_not_compared() -> None:
    found = evaluate({"forget": KNOWS}, 50, 0, NEVER)
    compare("lunar", found, {"retain_only": evaluate({"forget": NEVER}, 50, 0, NEVER)})
    assert "versus" in found.metrics["loss_auc"]
    assert "versus" not in found.metrics["forget_quality"] | found.metrics["model_utility"]


def test_paired_difference_against_a_bootstrap_by_loop() -> None:
    draw = random.Random(4)
    before = [likely(draw.uniform(0.1, 0.9), None, []) for _ in range(25)]
    # The same items, each less likely by about as much: the difference is far more certain than the two means.
    after = [likely(probability(one) * draw.uniform(0.45, 0.55), None, []) for one in before]
    found = evaluate({"forget": after}, 3000, 0)
    compare("lunar", found, {"vanilla": evaluate({"forget": before}, 3000, 0)})
    pairs = [probability(b) - probability(a) for a, b in zip(before, after, strict=True)]
    loop = means_by_loop(pairs, 3000, seed=5)
    versus = found.metrics["splits"]["forget"]["probability"]["versus"]["vanilla"]
    assert versus["difference"] == pytest.approx(fmean(pairs))
    assert versus["low"] == pytest.approx(percentile(loop, 0.025), abs=0.01)
    assert versus["high"] == pytest.approx(percentile(loop, 0.975), abs=0.01)


def test_interval_against_a_bootstrap_by_loop() -> None:
    draw = random.Random(1)
    values = [draw.betavariate(0.5, 0.5) for _ in range(30)]
    loop = means_by_loop(values, 3000, seed=2)
    found = interval(resampled_means(values, 3000, seed=0))
    # Two independent bootstraps; a quantile of 3000 means with this spread is good to about 0.005.
    assert found["low"] == pytest.approx(percentile(loop, 0.025), abs=0.02)
    assert found["high"] == pytest.approx(percentile(loop, 0.975), abs=0.02)
    assert found["high"] - found["low"] > 0.1


def test_interval_of_shares_is_binomial() -> None:
    # Resampled sums of 6 ones among 20 are binomial(20, 0.3): the exact quantiles are known.
    values = [1.0] * 6 + [0.0] * 14
    weights = [math.comb(20, k) * 0.3**k * 0.7 ** (20 - k) for k in range(21)]
    exact = [next(k for k in range(21) if sum(weights[: k + 1]) >= share) / 20 for share in (0.025, 0.975)]
    assert list(interval(resampled_means(values, 4000, seed=0)).values()) == pytest.approx(exact)
    assert exact == [0.1, 0.5]


def test_interval_percentiles() -> None:
    assert interval(range(1001)) == {"low": 25.0, "high": 975.0}


@pytest.mark.parametrize("other", [FORGET[1:], [one | {"answer": "Quito"} for one in FORGET]], ids=["rows", "words"])
def test_only_answers_to_the_same_questions_are_compared(other: list[dict]) -> None:
    """An attack may ask some of the questions, and leave some words of their answers to be said."""
    own = evaluate({"forget": FORGET, "retain": RETAIN}, 10, 0)
    with pytest.raises(
        LunarError, match="lunar under typos and retain_only were not asked the same on the split forget"
    ):
        compare("lunar under typos", own, {"retain_only": evaluate({"forget": other, "retain": RETAIN}, 10, 0)})


def test_files_hold_what_was_evaluated_and_the_same_bytes_each_time(tmp_path: Path) -> None:
    found = evaluate({"forget": FORGET, "retain": RETAIN}, 50, 0)
    write_json(tmp_path / "a.json", found.metrics)
    for name in ("a", "b"):
        write_samples(tmp_path / f"{name}_samples.npz", found.samples)
    assert (tmp_path / "a_samples.npz").read_bytes() == (tmp_path / "b_samples.npz").read_bytes()
    again = read_evaluated(tmp_path / "a.json", tmp_path / "a_samples.npz")
    assert again.metrics == found.metrics
    assert list(again.samples) == list(found.samples)
    assert all((again.samples[key] == found.samples[key]).all() for key in found.samples)


def test_pickled_samples_are_refused(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {})
    np.savez(tmp_path / "a.npz", ds=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        read_evaluated(tmp_path / "a.json", tmp_path / "a.npz")


def test_metrics_under_every_attack_come_back_as_they_were_written(tmp_path: Path) -> None:
    found = {"quiz": evaluate({"forget": FORGET}, 50, 0), "typos": evaluate({"forget": KNOWS}, 50, 0)}
    write_json(tmp_path / "attacked.json", {name: one.metrics for name, one in found.items()})
    samples = {f"{name}/{key}": drawn for name, one in found.items() for key, drawn in one.samples.items()}
    write_samples(tmp_path / "samples.npz", samples)
    read = read_evaluated_attacks(tmp_path / "attacked.json", tmp_path / "samples.npz")
    assert list(read) == ["quiz", "typos"]
    for name, one in found.items():
        assert read[name].metrics == one.metrics and read[name].samples.keys() == one.samples.keys()
        assert all((read[name].samples[key] == one.samples[key]).all() for key in one.samples)
