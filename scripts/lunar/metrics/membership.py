"""Membership inference: can the forget answers be told from answers that no model saw?"""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from lunar.errors import LunarError
from lunar.metrics.base import Estimate, overall
from lunar.metrics.likelihoods import mean_logprob
from lunar.metrics.settings import MetricSettings
from lunar.metrics.study import Study


class MinK(MetricSettings):
    """What Min-K% reads."""

    k: Annotated[float, Field(gt=0, le=1)] = Field(
        0.2, description="Share of an answer's tokens, the least likely; Shi et al. find 0.2 best."
    )


def lowest_mean(scores: Sequence[float], share: float) -> float:
    """Mean of the lowest ``share`` of scores, of at least one."""
    return float(np.mean(np.sort(scores)[: max(1, int(share * len(scores)))]))


def auc(members: Sequence[float], others: Sequence[float]) -> float:
    """Probability that a member scores higher than another, ties counted half: the area under the ROC curve.

    Raises:
        LunarError: either is empty.
    """
    if not len(members) or not len(others):
        raise LunarError("auc: needs scores of members and of others")
    return float(_wins(np.asarray(members), np.asarray(others)).mean())


def _wins(members: np.ndarray, others: np.ndarray) -> np.ndarray:
    return np.where(members[:, None] == others, 0.5, members[:, None] > others)


def membership(study: Study, score: Callable[[Mapping[str, Any]], float]) -> Estimate:
    """AUC of telling forget answers (seen in fine-tuning) from perturbed ones (seen by no model).

    Both answer the same questions in the same form, so a model that saw neither has about 0.5, as ``retain_only``
    shows. General questions are shorter and easier for any model, so they would not do. Questions are resampled, each
    with its gold and its perturbed answers.
    """
    rows = [row["likelihood"] for row in study.rows("forget", ("answer", "likelihood", "perturbed"))]
    members = np.array([score(row["answer"]) for row in rows])
    others = [np.array([score(tokens) for tokens in row["perturbed"]]) for row in rows]
    # Wins of question i's gold answer over the perturbed answers of question j, and how many those are.
    wins = np.stack([_wins(members, one).sum(axis=1) for one in others], axis=1)
    sizes = np.array([len(one) for one in others])
    counts = study.counts("forget")
    samples = ((counts @ wins) * counts).sum(axis=1) / (len(rows) * (counts @ sizes))
    return Estimate(float(wins.sum() / (len(rows) * sizes.sum())), samples)


@overall(
    "Membership AUC, loss",
    better="half",
    needs=("answer", "likelihood", "perturbed"),
    source="Yeom et al. 2018; forget answers against perturbed",
)
def loss_auc(study: Study) -> Estimate:
    """By the mean log-probability of an answer's tokens."""
    return membership(study, mean_logprob)


@overall(
    "Membership AUC, Min-K%",
    better="half",
    needs=("answer", "likelihood", "perturbed"),
    source="Shi et al. 2024, k = {k:.0%}; as the row above",
    settings=MinK,
)
def min_k_auc(study: Study, settings: MinK) -> Estimate:
    """By the mean log-probability of an answer's least likely tokens."""
    return membership(study, lambda tokens: lowest_mean(tokens["logprob"], settings.k))


@overall(
    "Membership AUC, Min-K%++",
    better="half",
    needs=("answer", "likelihood", "perturbed"),
    source="Zhang et al. 2025, k = {k:.0%}; as the row above",
    settings=MinK,
)
def min_k_plus_plus_auc(study: Study, settings: MinK) -> Estimate:
    """As ``min_k_auc``, by log-probabilities that are standardised over the vocabulary."""
    return membership(study, lambda tokens: lowest_mean(tokens["zscore"], settings.k))
