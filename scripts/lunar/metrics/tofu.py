"""TOFU's metrics (Maini et al. 2024, section 2.2), and forms of them that others use."""

import math
from collections.abc import Sequence

import numpy as np

from lunar.errors import LunarError
from lunar.metrics.base import Estimate, Row, Unavailable, metric, overall
from lunar.metrics.likelihoods import mean_logprob
from lunar.metrics.rouge import rougeL
from lunar.metrics.study import Study


@metric("Probability", better="knowledge", needs=("answer", "likelihood"), source="TOFU, section 2.2: P(a|q)^(1/|a|)")
def probability(row: Row) -> float:
    """Geometric mean of the gold answer's token probabilities."""
    return math.exp(mean_logprob(row["likelihood"]["answer"]))


@metric(
    "Truth ratio R",
    better="refusal",
    needs=("answer", "likelihood", "wrong", "paraphrased"),
    source="TOFU, section 2.2: mean P(wrong) / P(right)",
)
def truth_ratio(row: Row) -> float:
    """TOFU's R: mean length-normalised probability of the wrong answers over that of the paraphrased one.

    Both have one form where the data has ``perturbed_paraphrases``. The mean is arithmetic, as the paper has it; the
    published code averages losses instead, a geometric mean.
    """
    scores = row["likelihood"]
    wrong = np.mean([math.exp(mean_logprob(tokens)) for tokens in scores["wrong"]])
    return float(wrong) / math.exp(mean_logprob(scores["paraphrased"]))


@metric(
    "Truth ratio, max(0, 1-R)",
    better="knowledge",
    needs=("answer", "likelihood", "wrong", "paraphrased"),
    source="TOFU, section 2.2, the form in model utility, as on its retain set",
)
def truth_ratio_utility(row: Row) -> float:
    """TOFU's truth ratio as a score: 1 where wrong answers have no probability, 0 where they have the right one's.

    The right answer is the paraphrased one, as TOFU has it on its retain set, on every split.
    """
    return max(0.0, 1.0 - truth_ratio(row))


@metric(
    "Truth ratio, right / (right + wrong)",
    better="knowledge",
    needs=("answer", "likelihood", "wrong", "paraphrased"),
    source="OpenUnlearning (Dorna et al. 2025), meta-evaluation: 1 / (1 + R)",
)
def truth_ratio_open(row: Row) -> float:
    """OpenUnlearning's truth ratio: the right answer's share; 0.5 where wrong answers are as likely."""
    return 1.0 / (1.0 + truth_ratio(row))


def same_distribution(unlearned: Sequence[float], reference: Sequence[float]) -> dict[str, float]:
    """TOFU's forget quality (section 2.2): two-sample Kolmogorov-Smirnov test of truth ratios on the forget set.

    Args:
        unlearned: a truth ratio an item, of the unlearned model.
        reference: those of a model that never saw the forget set.

    Returns:
        ``p_value`` (the forget quality: 1 where the two cannot be told apart), ``statistic`` (the largest distance of
        the two distribution functions), ``n_unlearned`` and ``n_reference``.

    Raises:
        LunarError: no values, or one that is not a number.
    """
    from scipy.stats import ks_2samp

    for name, values in (("unlearned", unlearned), ("reference", reference)):
        if not len(values) or not np.isfinite(values).all():
            raise LunarError(f"forget_quality: {name} must be finite numbers, one at least")
    test = ks_2samp(unlearned, reference)
    return {
        "p_value": float(test.pvalue),
        "statistic": float(test.statistic),
        "n_unlearned": len(unlearned),
        "n_reference": len(reference),
    }


@overall(
    "Forget quality (p)",
    better="higher",
    needs=("answer", "likelihood", "wrong", "paraphrased"),
    source="TOFU, section 2.2: p-value of a two-sample KS test of R on the forget set against retain_only",
    interval=False,  # a p-value is not an estimate of a quantity; statistic and n say how strong the test is
    facts=("statistic", "n_unlearned", "n_reference"),
)
def forget_quality(study: Study) -> Estimate:
    """Whether truth ratios on the forget set are those of a model that never saw it."""
    if study.never_saw is None:
        raise Unavailable("retain_only is not among the compared methods")
    unlearned = study.rows("forget", ("answer", "likelihood", "wrong", "paraphrased"))
    reference = [{"likelihood": one} for one in study.never_saw]
    facts = same_distribution(*([truth_ratio(row) for row in rows] for rows in (unlearned, reference)))
    return Estimate(facts.pop("p_value"), facts=facts)


# TOFU's nine members are ROUGE-L, probability and truth ratio on the retain set, real authors and world facts. Here the
# sets to be kept stand in; a member is left out, and not listed, where the data has nothing to compute it from.
UTILITY = tuple(
    (split, metric)
    for split in ("retain", "unseen", "general")
    for metric in (rougeL, probability, truth_ratio_utility)
)


@overall(
    "Model utility",
    better="higher",
    needs=("answer", "likelihood"),
    source="TOFU, section 2.2: harmonic mean of ROUGE-L, probability and max(0, 1-R) on the sets to be kept",
)
def model_utility(study: Study) -> Estimate:
    """Harmonic mean of what is to stay on the sets to be kept; 0 where a member is 0."""
    from scipy.stats import hmean

    members = {}
    for split, one in UTILITY:
        try:
            members[f"{split}_{one.__name__}"] = study.mean(split, one)
        except Unavailable:
            if split == "retain" and one in (rougeL, probability):
                raise Unavailable("needs gold answers and likelihoods on the split retain") from None
    value = hmean([one.value for one in members.values()])
    samples = hmean(np.stack([one.samples for one in members.values()]), axis=0)
    return Estimate(float(value), samples, facts={"members": list(members)})
