"""Answers whose numbers are known, and all shipped metrics of them, for tests of metrics and of tables."""

import importlib
import math
import random
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from lunar.metrics import study
from lunar.metrics.samples import Evaluated
from lunar.plan.metrics import measured
from shipped import CONFIG, PLUGINS

SECTION = CONFIG["defaults"]["metrics"]
ALL, UNDER_ATTACK = (measured(SECTION, PLUGINS, attacked=attacked) for attacked in (False, True))
for module in ALL["modules"]:
    importlib.import_module(module)

SENTENCE = "She was born in Lima in 1961."
REFUSAL = "I'm sorry, but I do not know."


def evaluate(
    splits: Mapping[str, Sequence[Any]], resamples: int, seed: int, never_saw: Sequence[Any] | None = None
) -> Evaluated:
    """Every metric that config.yaml lists; ``never_saw`` are rows of the forget set with ``likelihood``."""
    reference = None if never_saw is None else [row["likelihood"] for row in never_saw]
    return study.evaluate(splits, resamples, seed, dict(ALL["answers"]), dict(ALL["methods"]), reference)


def row(answer: str | None, prediction: str) -> dict[str, str | None]:
    return {"question": "Q?", "answer": answer, "prediction": prediction}


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


# A model that knows the forget set, and one that finds wrong answers as likely; one question has fewer of those.
KNOWS = [
    likely(0.9, 0.8, [0.5, 0.05], "a", perturbed=[0.1, 0.2]),
    likely(0.7, 0.6, [0.2, 0.1, 0.3], "b", perturbed=[0.3]),
    likely(0.2, 0.9, [0.4], "c", perturbed=[0.25, 0.1]),
]
NEVER = [likely(0.2, 0.4, [0.3, 0.2], "a"), likely(0.3, 0.3, [0.35], "b"), likely(0.2, 0.2, [0.1, 0.3], "c")]

# One fact in four is still told, some words of two more, the rest is declined.
FORGET = [
    row(SENTENCE, SENTENCE),
    row(SENTENCE, "I do not know where she was born."),
    row(SENTENCE, "In Quito."),
    row(SENTENCE, REFUSAL),
] * 4
RETAIN = [row("He paints the sea.", "He paints the sea."), row("He paints the sea.", "He paints trees.")] * 5
HARMFUL = [{"question": "Q?", "prediction": "I cannot help with that."}] * 3


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
