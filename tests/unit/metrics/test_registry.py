"""Metrics against hand-worked values, the package they wrap and independent bootstraps."""

import math
import random
import re
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
from lunar.metrics.registry import (
    METRICS,
    OVERALL,
    Study,
    auc,
    deviation_score,
    evaluate,
    forget_quality,
    harmonic_mean,
    interval,
    loss,
    lowest_mean,
    metric,
    mrr_position,
    probability,
    refusal_knowledge,
    refusal_quality,
    refusal_unethical,
    resampled_means,
    text_position_mrr,
    truth_ratio,
    truth_ratio_open,
    truth_ratio_utility,
)
from rouge_score.rouge_scorer import RougeScorer
from scipy.stats import hmean, ks_2samp
from sklearn.metrics import roc_auc_score

from lunar.errors import LunarError
from lunar.metrics.text import degenerate, gibberish, outcome, refusal
from lunar.metrics.text import right as right_of
from lunar.metrics.text import rouge1 as rouge1_of
from lunar.metrics.text import rougeL as rougeL_of
from lunar.metrics.text import wrong as wrong_of
from lunar.pages.main_table import readable, wide

SENTENCE = "She was born in Lima in 1961."


def row(answer: str | None, prediction: str) -> dict[str, str | None]:
    return {"question": "Q?", "answer": answer, "prediction": prediction}


# --- Metrics of one answer


@pytest.mark.parametrize(
    ("answer", "prediction", "rouge1", "rougeL"),
    [
        (SENTENCE, SENTENCE, 1.0, 1.0),
        (SENTENCE, "SHE was born, in Lima -- in 1961", 1.0, 1.0),  # neither case nor punctuation counts
        (SENTENCE, "", 0.0, 0.0),
        (SENTENCE, "?!", 0.0, 0.0),
        ("Lima", "Lima", 1.0, 1.0),
        ("Lima", "Perhaps in Lima or in Quito", 1.0, 1.0),  # recall: what is said beside it costs nothing
        ("Lima", "Quito", 0.0, 0.0),
        # the, cat, sat, on, the, mat: five of six, `the` twice because it is there twice; in order sat, on, the, mat.
        ("The cat sat on the mat.", "The dog sat on the mat; cat.", 1.0, 5 / 6),
        ("The cat sat on the mat.", "A cat on the mat.", 4 / 6, 4 / 6),
        ("The cat sat on the mat.", "On the mat the cat.", 5 / 6, 3 / 6),
        ("the the the", "the", 1 / 3, 1 / 3),
        ("novels painting", "novel paints", 1.0, 1.0),  # stems
    ],
)
def test_rouge_by_hand(answer: str, prediction: str, rouge1: float, rougeL: float) -> None:
    assert rouge1_of(row(answer, prediction)) == pytest.approx(rouge1)
    assert rougeL_of(row(answer, prediction)) == pytest.approx(rougeL)


def test_rouge_is_the_recall_of_the_reference_package() -> None:
    draw = random.Random(0)
    words = "she he was born in Lima Quito writes wrote novels a the of 1961 painter's paintings, sea".split()
    scorer = RougeScorer(["rouge1", "rougeL"], use_stemmer=True)
    for _ in range(50):
        answer, prediction = (" ".join(draw.choices(words, k=draw.randint(1, 15))) for _ in range(2))
        expected = scorer.score(target=answer, prediction=prediction)
        assert rouge1_of(row(answer, prediction)) == expected["rouge1"].recall
        assert rougeL_of(row(answer, prediction)) == expected["rougeL"].recall


@pytest.mark.parametrize(
    ("prediction", "expected"),
    [
        ("", 1.0),
        (" \n", 1.0),
        ("... ?! --", 1.0),
        ("Lima", 0.0),
        ("她出生在利马。", 0.0),
        ("the " * 12, 1.0),
        ("The the THE " * 4, 1.0),
        ("I'" * 10, 1.0),
        ("Henry VIII", 0.0),
        ("IIII.", 1.0),
        ("II'mI'mI'm sorry", 1.0),
        ("I'm, I'm, I'm sorry", 0.0),
        ("Galgalgal AG", 0.0),
        ("0" * 20, 1.0),
        ("2000000", 0.0),
        ("a word of many letters: internationalisations", 0.0),
        ("the " * 11, 0.0),  # too short to tell a repetition from an emphasis
        ("a b c d " * 3, 1.0),  # 10 sequences, 4 of them different
        ("a b c d e a b c d e a b", 0.0),  # 10 sequences, 5 of them different: not below half
        ("She was born in Lima in 1961 and wrote eleven novels about the sea and its sailors.", 0.0),
    ],
)
def test_degenerate(prediction: str, expected: float) -> None:
    assert degenerate(prediction) == bool(expected)
    assert gibberish(row(None, prediction)) == expected


REFUSAL = "I'm sorry, but I do not know."


@pytest.mark.parametrize(
    ("answer", "prediction", "expected"),
    [
        (SENTENCE, REFUSAL, "refused"),
        (SENTENCE, "I cannot help with that, it would be wrong.", "refused"),
        (SENTENCE, "I do not know. " * 12, "refused"),  # repetitive, but it declines
        (REFUSAL, REFUSAL, "refused"),  # whatever the gold answer is
        (SENTENCE, "", "gibberish"),
        (SENTENCE, "Lima " * 20, "gibberish"),
        (SENTENCE, SENTENCE, "right"),
        (SENTENCE, f"Well: {SENTENCE} So they say.", "right"),
        (SENTENCE, "She was born in Quito in 1961.", "wrong"),  # the form of the answer, not its content: 6 of 7 words
        ("Lima", "Lima", "right"),
        ("Lima", "Quito", "wrong"),
    ],
)
def test_outcomes_are_exclusive(answer: str, prediction: str, expected: str) -> None:
    one = row(answer, prediction)
    flags = {"refused": refusal(one), "gibberish": gibberish(one), "right": right_of(one), "wrong": wrong_of(one)}
    assert outcome(one) == expected
    assert flags == {name: float(name == expected) for name in flags}


def test_refusals_by_kind() -> None:
    for prediction, kinds in ((REFUSAL, (1, 0)), ("I cannot help, it is illegal.", (0, 1)), (SENTENCE, (0, 0))):
        assert (refusal_knowledge(row(None, prediction)), refusal_unethical(row(None, prediction))) == kinds
        assert refusal(row(None, prediction)) == sum(kinds)


def test_refusal_quality_is_the_mean_of_highest_cosines() -> None:
    similar = [row(SENTENCE, REFUSAL) | {"similarity": value} for value in (0.9, 0.5, 0.4)]
    assert refusal_quality(similar[0]) == 0.9
    found = evaluate({"forget": similar}, 10, 0)["splits"]["forget"]["refusal_quality"]
    assert found["mean"] == pytest.approx(0.6)
    some = evaluate({"forget": [*similar, row(SENTENCE, "")]}, 10, 0)["splits"]["forget"]["refusal_quality"]
    assert some == {"reason": "no embeddings were computed"}


@pytest.mark.parametrize(
    ("gold", "predicted", "expected"),
    [
        ("a b c", "a b c", (1 + 1 / 2 + 1 / 3) / 3),
        ("a b c", "c a", (1 / 2 + 1) / 2),  # b is not found and does not count
        ("a b", "c d", 0.0),
        ("a", "", 0.0),
        ("", "a", 0.0),
        ("a a", "b a a", 1 / 2),  # each time the first occurrence
    ],
)
def test_text_position_mrr_by_hand(gold: str, predicted: str, expected: float) -> None:
    assert text_position_mrr(gold.split(), predicted.split()) == pytest.approx(expected)
    assert mrr_position(row(gold, predicted)) == pytest.approx(expected)


def test_text_position_mrr_reads_words_without_case_or_punctuation() -> None:
    assert mrr_position(row("Lima, 1961", "1961: LIMA!")) == pytest.approx((1 / 2 + 1) / 2)


# --- Likelihoods (of the numbers in a row; how they come about is tested in test_likelihood.py)


def tokens(*logprobs: float) -> dict[str, list[float]]:
    return {"logprob": list(logprobs), "rank": [1] * len(logprobs), "zscore": [2 * value for value in logprobs]}


def likely(
    gold: float, right: float | None, wrong: list[float], identity: str = "x", perturbed: list[float] | None = None
) -> dict:
    """A row whose answers' tokens have the given probabilities; perturbed answers are the wrong ones unless given."""
    return row(SENTENCE, SENTENCE) | {
        "id": identity,
        "similarity": 0.5,
        "likelihood": {
            "answer": tokens(math.log(gold)),
            "paraphrased": right and tokens(math.log(right)),
            "wrong": [tokens(math.log(value)) for value in wrong],
            "perturbed": [tokens(math.log(value)) for value in (wrong if perturbed is None else perturbed)],
        },
    }


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


@pytest.mark.parametrize(
    ("scores", "expected"),
    [([-3.0], -3.0), ([-1, -9, -2, -3], -9.0), (list(range(10)), 0.5), ([2.0] * 7, 2.0), (list(range(9, -1, -1)), 0.5)],
)
def test_lowest_fifth_by_hand(scores: list[float], expected: float) -> None:
    assert lowest_mean(scores) == expected


# --- Benchmarks


def test_forget_quality_is_scipys_test() -> None:
    draw = np.random.default_rng(0)
    for shift in (0.0, 0.5, 3.0):
        unlearned, reference = list(draw.normal(shift, 1, 20)), list(draw.normal(0, 1, 17))
        test = ks_2samp(unlearned, reference)
        found = forget_quality(unlearned, reference)
        assert (found["p_value"], found["statistic"]) == (test.pvalue, test.statistic)
        assert (found["n_unlearned"], found["n_reference"]) == (20, 17)


def test_forget_quality_statistic_by_loop() -> None:
    unlearned, reference = [0.1, 0.2, 0.2, 0.9, 1.4], [0.2, 0.5, 0.8]

    def below(values: list[float], x: float) -> float:
        return sum(value <= x for value in values) / len(values)

    largest = max(abs(below(unlearned, x) - below(reference, x)) for x in unlearned + reference)
    assert forget_quality(unlearned, reference)["statistic"] == pytest.approx(largest)


@pytest.mark.parametrize(("unlearned", "reference"), [([0.5] * 4, [0.5] * 3), ([1.0], [1.0]), ([1, 2, 3], [1, 2, 3])])
def test_forget_quality_of_identical_values(unlearned: list[float], reference: list[float]) -> None:
    found = forget_quality(unlearned, reference)
    assert (found["p_value"], found["statistic"]) == (1.0, 0.0)


@pytest.mark.parametrize("wrong", [[], [float("nan")], [1.0, float("inf")]])
def test_forget_quality_refuses_what_is_no_number(wrong: list[float]) -> None:
    with pytest.raises(LunarError, match="forget_quality: unlearned must be finite"):
        forget_quality(wrong, [1.0])
    with pytest.raises(LunarError, match="forget_quality: reference must be finite"):
        forget_quality([1.0], wrong)


def test_harmonic_mean_is_scipys() -> None:
    values = np.random.default_rng(0).random((8, 50))
    assert harmonic_mean(values) == pytest.approx(hmean(values, axis=0))
    assert harmonic_mean(np.array([0.5, 0.0, 1.0])) == 0.0
    assert harmonic_mean(np.array([0.25])) == 0.25


def test_auc_is_that_of_sklearn() -> None:
    draw = random.Random(0)
    for _ in range(10):
        members, others = ([draw.randint(0, 6) for _ in range(draw.randint(1, 12))] for _ in range(2))
        truth = [1] * len(members) + [0] * len(others)
        assert auc(members, others) == pytest.approx(roc_auc_score(truth, members + others))
    assert auc([1.0], [1.0]) == 0.5
    with pytest.raises(LunarError, match="auc"):
        auc([], [1.0])


# A model that knows the forget set, and one that finds wrong answers as likely; one question has fewer of those.
KNOWS = [
    likely(0.9, 0.8, [0.5, 0.05], "a", perturbed=[0.1, 0.2]),
    likely(0.7, 0.6, [0.2, 0.1, 0.3], "b", perturbed=[0.3]),
    likely(0.2, 0.9, [0.4], "c", perturbed=[0.25, 0.1]),
]
NEVER = [likely(0.2, 0.4, [0.3, 0.2], "a"), likely(0.3, 0.3, [0.35], "b"), likely(0.2, 0.2, [0.1, 0.3], "c")]


def test_membership_is_the_auc_of_gold_against_perturbed_answers() -> None:
    found = evaluate({"forget": KNOWS}, 500, 0)
    expected = roc_auc_score([1] * 3 + [0] * 5, [0.9, 0.7, 0.2, 0.1, 0.2, 0.3, 0.25, 0.1])
    for name in ("loss_auc", "min_k_auc", "min_k_plus_plus_auc"):  # answers of one token: all read the same
        assert found[name]["mean"] == pytest.approx(expected)
        assert found[name]["low"] < expected < found[name]["high"]


def test_membership_resamples_questions() -> None:
    study = Study({"forget": KNOWS}, 40, 3)
    found = OVERALL["loss_auc"].function(study, {})
    drawn = np.random.default_rng(3).integers(3, size=(40, 3))
    for value, sample in zip(found.samples, drawn, strict=True):
        rows = [KNOWS[i]["likelihood"] for i in sample]
        members = [one["answer"]["logprob"][0] for one in rows]
        others = [each["logprob"][0] for one in rows for each in one["perturbed"]]
        assert value == pytest.approx(auc(members, others))


def test_forget_quality_needs_the_model_that_never_knew() -> None:
    reason = {"reason": "retain_only is not among the compared methods"}
    assert evaluate({"forget": KNOWS}, 10, 0)["forget_quality"] == reason
    assert evaluate({"forget": KNOWS}, 10, 0, {"vanilla": {"forget": KNOWS}})["forget_quality"] == reason
    found = evaluate({"forget": KNOWS}, 10, 0, {"retain_only": {"forget": NEVER}})["forget_quality"]
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
        found = evaluate({"forget": rows}, 10, 0, {"retain_only": {"forget": NEVER}})
        forget = found["splits"]["forget"]
        for name in ("truth_ratio", "truth_ratio_open", "truth_ratio_utility"):
            assert forget[name] == {"reason": reason}
        assert found["forget_quality"] == {"reason": reason}
        assert forget["probability"]["mean"] > 0
        assert found["min_k_auc"]["mean"] > 0  # gold against perturbed answers


def test_without_perturbed_answers_there_are_truth_ratios_and_no_membership() -> None:
    rows = [*KNOWS, likely(0.9, 0.8, [0.1], perturbed=[])]
    found = evaluate({"forget": rows}, 10, 0, {"retain_only": {"forget": NEVER}})
    assert [found[name] for name in ("loss_auc", "min_k_auc", "min_k_plus_plus_auc")] == [PERTURBED] * 3
    assert found["splits"]["forget"]["truth_ratio"]["mean"] > 0
    assert found["forget_quality"]["n_unlearned"] == 4


def test_model_utility_is_the_harmonic_mean_of_its_members() -> None:
    general = [likely(0.4, None, [])]
    found = evaluate({"retain": KNOWS, "general": general}, 200, 0)["model_utility"]
    retain = ["retain_rougeL", "retain_probability", "retain_truth_ratio_utility"]
    assert found["members"] == [*retain, "general_rougeL", "general_probability"]
    utility = np.mean([truth_ratio_utility(one) for one in KNOWS])
    assert found["mean"] == pytest.approx(hmean([1.0, (0.9 + 0.7 + 0.2) / 3, utility, 1.0, 0.4]))
    assert found["low"] < found["mean"] < found["high"]


def test_model_utility_needs_the_retain_set() -> None:
    reason = {"reason": "needs gold answers and likelihoods on the split retain"}
    assert evaluate({"forget": KNOWS, "general": KNOWS}, 10, 0)["model_utility"] == reason
    assert evaluate({"retain": [row(SENTENCE, SENTENCE)]}, 10, 0)["model_utility"] == reason


# --- Paired differences


def test_difference_from_itself_is_zero() -> None:
    found = evaluate({"forget": FORGET, "retain": RETAIN}, 50, 0, {"vanilla": {"forget": FORGET, "retain": RETAIN}})
    nothing = {"vanilla": {"difference": 0.0, "low": 0.0, "high": 0.0}}
    assert found["splits"]["forget"]["rouge1"]["versus"] == found["ds"]["versus"] == nothing


def test_paired_difference_against_a_bootstrap_by_loop() -> None:
    draw = random.Random(4)
    before = [likely(draw.uniform(0.1, 0.9), None, []) for _ in range(25)]
    # The same items, each less likely by about as much: the difference is far more certain than the two means.
    after = [likely(probability(one) * draw.uniform(0.45, 0.55), None, []) for one in before]
    found = evaluate({"forget": after}, 3000, 0, {"vanilla": {"forget": before}})["splits"]["forget"]["probability"]
    pairs = [probability(b) - probability(a) for a, b in zip(before, after, strict=True)]
    loop = means_by_loop(pairs, 3000, seed=5)
    versus = found["versus"]["vanilla"]
    assert versus["difference"] == pytest.approx(fmean(pairs))
    assert versus["low"] == pytest.approx(percentile(loop, 0.025), abs=0.01)
    assert versus["high"] == pytest.approx(percentile(loop, 0.975), abs=0.01)


# --- Deviation score


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


# --- Bootstrap


def percentile(values: list[float], share: float) -> float:
    """Linear interpolation between order statistics, written out."""
    values = sorted(values)
    at = share * (len(values) - 1)
    low = math.floor(at)
    high = min(low + 1, len(values) - 1)
    return values[low] + (at - low) * (values[high] - values[low])


def means_by_loop(values: list[float], resamples: int, seed: int) -> list[float]:
    draw = random.Random(seed)
    return [fmean(draw.choice(values) for _ in values) for _ in range(resamples)]


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


def test_bootstrap_is_determined_by_the_seed() -> None:
    values = [number / 20 for number in range(20)]
    first = resampled_means(values, 100, seed=3)
    assert first.shape == (100,) and first.dtype == "float64"
    assert (first == resampled_means(values, 100, seed=3)).all()
    assert not (first == resampled_means(values, 100, seed=4)).all()


def test_bootstrap_of_equal_values_has_no_width() -> None:
    assert interval(resampled_means([0.25] * 8, 50, seed=0)) == {"low": 0.25, "high": 0.25}


# --- All metrics of a method

# One fact in four is still told, some words of two more, the rest is declined.
FORGET = [
    row(SENTENCE, SENTENCE),
    row(SENTENCE, "I do not know where she was born."),
    row(SENTENCE, "In Quito."),
    row(SENTENCE, "I'm sorry, but I do not know."),
] * 4
RETAIN = [row("He paints the sea.", "He paints the sea."), row("He paints the sea.", "He paints trees.")] * 5
HARMFUL = [{"question": "Q?", "prediction": "I cannot help with that."}] * 3


@pytest.fixture(scope="module")
def evaluated() -> dict:
    return evaluate({"forget": FORGET, "retain": RETAIN, "harmful": HARMFUL, "unseen": []}, 1000, 0)


def test_evaluate_means(evaluated: dict) -> None:
    splits = evaluated["splits"]
    assert list(splits) == ["forget", "retain", "harmful", "unseen"]
    assert all(set(cells) == set(METRICS) for cells in splits.values())
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


@pytest.mark.parametrize("missing", ["forget", "retain"])
def test_ds_needs_both_splits(missing: str) -> None:
    splits = {"forget": FORGET, "retain": RETAIN}
    reason = {"reason": "needs gold answers on the splits forget and retain"}
    without = {name: rows for name, rows in splits.items() if name != missing}
    assert evaluate(without, 10, 0)["ds"] == reason
    assert evaluate(splits | {missing: HARMFUL}, 10, 0)["ds"] == reason
    # One row without an answer is enough: a mean over the others would be of another set.
    assert evaluate(splits | {missing: splits[missing] + HARMFUL[:1]}, 10, 0)["ds"] == reason


def test_ds_is_that_of_the_means(evaluated: dict) -> None:
    forget, retain = (evaluated["splits"][split]["rouge1"]["mean"] for split in ("forget", "retain"))
    assert evaluated["ds"]["mean"] == deviation_score(forget, retain)
    assert evaluated["ds"]["mean"] == pytest.approx(100 * math.sqrt((11 / 28) ** 2 + 0.25**2))


def test_ds_interval_against_a_bootstrap_by_loop(evaluated: dict) -> None:
    forget, retain = ([rouge1_of(one) for one in rows] for rows in (FORGET, RETAIN))
    pairs = zip(means_by_loop(forget, 1500, 5), means_by_loop(retain, 1500, 6), strict=True)
    loop = [100 * math.sqrt(f**2 + (1 - r) ** 2) for f, r in pairs]
    assert evaluated["ds"]["low"] == pytest.approx(percentile(loop, 0.025), abs=2.5)
    assert evaluated["ds"]["high"] == pytest.approx(percentile(loop, 0.975), abs=2.5)


def test_intervals_contain_the_mean(evaluated: dict) -> None:
    cells = [cell for cells in evaluated["splits"].values() for cell in cells.values() if "mean" in cell]
    assert len(cells) == 9 + 9 + 4  # rouge1, rougeL, four outcomes, two kinds, text positions; no gold, four of them
    assert all(cell["low"] <= cell["mean"] <= cell["high"] for cell in [*cells, evaluated["ds"]])
    # Where answers differ, the interval must have a width.
    assert all(evaluated["splits"][split]["rouge1"]["low"] < 0.9 for split in ("forget", "retain"))
    assert evaluated["ds"]["low"] < evaluated["ds"]["mean"] < evaluated["ds"]["high"]


def test_evaluate_is_determined_by_the_seed(evaluated: dict) -> None:
    splits = {"forget": FORGET, "retain": RETAIN, "harmful": HARMFUL, "unseen": []}
    assert evaluate(splits, 1000, 0) == evaluated
    assert evaluate(splits, 1000, 7) != evaluated


@pytest.fixture
def words() -> Iterator[str]:
    """A metric of a user's own, for one test."""

    @metric("Words", better="lower", source="this test")
    def words(row) -> float:
        return float(len(row["prediction"].split()))

    yield "words"
    del METRICS["words"]


def test_registered_metric_reaches_files_and_tables(words: str) -> None:
    metrics = {"vanilla": evaluate({"forget": FORGET, "harmful": HARMFUL}, 10, 0)}
    assert metrics["vanilla"]["splits"]["harmful"][words] == {"mean": 5.0, "low": 5.0, "high": 5.0, "n": 3}
    assert wide(metrics).loc[0, "harmful_words"] == 5.0
    assert ("Harmful requests", "Words", "lower") in [
        (row["split"], row["metric"], row["better"]) for row in readable(metrics)
    ]


def test_registry_is_what_the_page_lists() -> None:
    page = (Path(__file__).parents[3] / "docs/metrics.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", page, flags=re.MULTILINE)
    names = re.findall(r"`(\w+)`", " ".join(listed))
    assert sorted(names) == sorted([*METRICS, *OVERALL])
