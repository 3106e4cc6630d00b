"""TOFU's metrics against hand-worked values and scipy."""

import math

import numpy as np
import pytest
from scipy.stats import hmean, ks_2samp

from known_answers import KNOWS, NEVER, SENTENCE, evaluate, likely, row
from lunar.errors import LunarError
from lunar.metrics.likelihoods import loss
from lunar.metrics.tofu import probability, same_distribution, truth_ratio, truth_ratio_open, truth_ratio_utility


@pytest.mark.parametrize(
    ("right", "wrong", "ratio", "utility", "share"),
    [
        (0.8, [0.2, 0.4], 0.375, 0.625, 0.8 / 1.1),
        (0.5, [0.9], 1.8, 0.0, 1 / 2.8),
        (0.1, [0.4], 4.0, 0.0, 0.2),  # the gold answer is likelier than the wrong one, but it is not asked
        (0.5, [0.5], 1.0, 0.0, 0.5),
        (1.0, [1e-30], 1e-30, 1.0, 1.0),
    ],
)
def test_truth_ratios_by_hand(right: float, wrong: list[float], ratio: float, utility: float, share: float) -> None:
    one = likely(0.9, right, wrong, perturbed=[0.7])  # of the gold answer's form, for membership alone
    assert truth_ratio(one) == pytest.approx(ratio)
    assert truth_ratio_utility(one) == pytest.approx(utility)
    assert truth_ratio_open(one) == pytest.approx(share)
    assert probability(one) == pytest.approx(0.9)
    assert loss(one) == pytest.approx(-math.log(0.9))


def test_forget_quality_is_scipys_test() -> None:
    draw = np.random.default_rng(0)
    for shift in (0.0, 0.5, 3.0):
        unlearned, reference = list(draw.normal(shift, 1, 20)), list(draw.normal(0, 1, 17))
        test = ks_2samp(unlearned, reference)
        found = same_distribution(unlearned, reference)
        assert (found["p_value"], found["statistic"]) == (test.pvalue, test.statistic)
        assert (found["n_unlearned"], found["n_reference"]) == (20, 17)


def test_forget_quality_statistic_by_loop() -> None:
    unlearned, reference = [0.1, 0.2, 0.2, 0.9, 1.4], [0.2, 0.5, 0.8]

    def below(values: list[float], x: float) -> float:
        return sum(value <= x for value in values) / len(values)

    largest = max(abs(below(unlearned, x) - below(reference, x)) for x in unlearned + reference)
    assert same_distribution(unlearned, reference)["statistic"] == pytest.approx(largest)


@pytest.mark.parametrize(("unlearned", "reference"), [([0.5] * 4, [0.5] * 3), ([1.0], [1.0]), ([1, 2, 3], [1, 2, 3])])
def test_forget_quality_of_identical_values(unlearned: list[float], reference: list[float]) -> None:
    found = same_distribution(unlearned, reference)
    assert (found["p_value"], found["statistic"]) == (1.0, 0.0)


@pytest.mark.parametrize("wrong", [[], [float("nan")], [1.0, float("inf")]])
def test_forget_quality_refuses_what_is_no_number(wrong: list[float]) -> None:
    with pytest.raises(LunarError, match="forget_quality: unlearned must be finite"):
        same_distribution(wrong, [1.0])
    with pytest.raises(LunarError, match="forget_quality: reference must be finite"):
        same_distribution([1.0], wrong)


def test_forget_quality_needs_the_model_that_never_knew() -> None:
    reason = {"reason": "retain_only is not among the compared methods"}
    assert evaluate({"forget": KNOWS}, 10, 0).metrics["forget_quality"] == reason
    found = evaluate({"forget": KNOWS}, 10, 0, NEVER).metrics["forget_quality"]
    test = ks_2samp([truth_ratio(one) for one in KNOWS], [truth_ratio(one) for one in NEVER])
    assert found == {"mean": test.pvalue, "statistic": test.statistic, "n_unlearned": 3, "n_reference": 3}


PERTURBED = {"reason": "not every row has perturbed answers, which are scored on the forget set only"}


@pytest.mark.parametrize(
    ("bare", "reason"),
    [
        (likely(0.9, 0.8, [], perturbed=[0.1]), "not every row has wrong answers"),
        (likely(0.9, None, [0.1]), "not every row has a paraphrased answer"),
    ],
)
def test_without_answers_to_compare_there_is_a_reason(bare: dict, reason: str) -> None:
    for rows in ([bare], [*KNOWS, bare]):
        found = evaluate({"forget": rows}, 10, 0, NEVER).metrics
        forget = found["splits"]["forget"]
        for name in ("truth_ratio", "truth_ratio_open", "truth_ratio_utility"):
            assert forget[name] == {"reason": reason}
        assert found["forget_quality"] == {"reason": reason}
        assert forget["probability"]["mean"] > 0
        assert found["min_k_auc"]["mean"] > 0  # gold against perturbed answers


def test_without_perturbed_answers_there_are_truth_ratios_and_no_membership() -> None:
    rows = [*KNOWS, likely(0.9, 0.8, [0.1], perturbed=[])]
    found = evaluate({"forget": rows}, 10, 0, NEVER).metrics
    assert [found[name] for name in ("loss_auc", "min_k_auc", "min_k_plus_plus_auc")] == [PERTURBED] * 3
    assert found["splits"]["forget"]["truth_ratio"]["mean"] > 0
    assert found["forget_quality"]["n_unlearned"] == 4


def test_model_utility_is_the_harmonic_mean_of_its_members() -> None:
    general = [likely(0.4, None, [])]
    found = evaluate({"retain": KNOWS, "general": general}, 200, 0).metrics["model_utility"]
    retain = ["retain_rougeL", "retain_probability", "retain_truth_ratio_utility"]
    assert found["members"] == [*retain, "general_rougeL", "general_probability"]
    utility = np.mean([truth_ratio_utility(one) for one in KNOWS])
    assert found["mean"] == pytest.approx(hmean([1.0, (0.9 + 0.7 + 0.2) / 3, utility, 1.0, 0.4]))
    assert found["low"] < found["mean"] < found["high"]


def test_model_utility_needs_the_retain_set() -> None:
    reason = {"reason": "needs gold answers and likelihoods on the split retain"}
    assert evaluate({"forget": KNOWS, "general": KNOWS}, 10, 0).metrics["model_utility"] == reason
    assert evaluate({"retain": [row(SENTENCE, SENTENCE)]}, 10, 0).metrics["model_utility"] == reason


def test_model_utility_is_nothing_where_a_member_is_nothing() -> None:
    nothing = [row(SENTENCE, "Quito") | {key: KNOWS[0][key] for key in ("id", "similarity", "likelihood")}]
    found = evaluate({"retain": nothing}, 20, 0).metrics["model_utility"]
    assert (found["mean"], found["low"], found["high"]) == (0.0, 0.0, 0.0)
