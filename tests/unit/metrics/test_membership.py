"""Membership inference against sklearn and a bootstrap by loop."""

import random

import numpy as np
import pytest
from pydantic import ValidationError
from sklearn.metrics import roc_auc_score

from known_answers import KNOWS, evaluate
from lunar.errors import LunarError
from lunar.metrics.membership import MinK, auc, loss_auc, lowest_mean, min_k_auc
from lunar.metrics.study import Study


@pytest.mark.parametrize(
    ("scores", "expected"),
    [([-3.0], -3.0), ([-1, -9, -2, -3], -9.0), (list(range(10)), 0.5), ([2.0] * 7, 2.0), (list(range(9, -1, -1)), 0.5)],
)
def test_lowest_fifth_by_hand(scores: list[float], expected: float) -> None:
    assert lowest_mean(scores, 0.2) == expected


def test_auc_is_that_of_sklearn() -> None:
    draw = random.Random(0)
    for _ in range(10):
        members, others = ([draw.randint(0, 6) for _ in range(draw.randint(1, 12))] for _ in range(2))
        truth = [1] * len(members) + [0] * len(others)
        assert auc(members, others) == pytest.approx(roc_auc_score(truth, members + others))
    assert auc([1.0], [1.0]) == 0.5
    with pytest.raises(LunarError, match="auc"):
        auc([], [1.0])


def test_membership_is_the_auc_of_gold_against_perturbed_answers() -> None:
    found = evaluate({"forget": KNOWS}, 500, 0).metrics
    expected = roc_auc_score([1] * 3 + [0] * 5, [0.9, 0.7, 0.2, 0.1, 0.2, 0.3, 0.25, 0.1])
    for name in ("loss_auc", "min_k_auc", "min_k_plus_plus_auc"):  # answers of one token: all read the same
        assert found[name]["mean"] == pytest.approx(expected)
        assert found[name]["low"] < expected < found[name]["high"]


def test_membership_resamples_questions() -> None:
    study = Study({"forget": KNOWS}, 40, 3)
    found = loss_auc(study)
    drawn = np.random.default_rng(3).integers(3, size=(40, 3))
    for value, sample in zip(found.samples, drawn, strict=True):
        rows = [KNOWS[i]["likelihood"] for i in sample]
        members = [one["answer"]["logprob"][0] for one in rows]
        others = [each["logprob"][0] for one in rows for each in one["perturbed"]]
        assert value == pytest.approx(auc(members, others))


def test_the_share_that_min_k_reads_is_a_setting() -> None:
    rows = [
        {"answer": "a", "likelihood": {"answer": one, "perturbed": [other]}}
        for one, other in (({"logprob": [-1, -5, -2]}, {"logprob": [-4, -3, -3]}),)
    ]
    study = Study({"forget": rows}, 10, 0)
    assert min_k_auc(study, MinK()).value == 0.0  # the lowest of three: -5 against -4
    assert min_k_auc(study, MinK(k=1.0)).value == 1.0  # all: -8/3 against -10/3
    with pytest.raises(ValidationError, match="less than or equal to 1"):
        MinK(k=1.5)
