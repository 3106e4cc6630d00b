"""The deviation score (LUNAR, section 4)."""

import math

import numpy as np

from lunar.errors import LunarError
from lunar.metrics.base import Estimate, Unavailable, overall
from lunar.metrics.rouge import rouge1
from lunar.metrics.study import Study


def deviation_score(forget_rouge1: float, retain_rouge1: float) -> float:
    """DS = 100 sqrt(ROUGE1_forget^2 + (1 - ROUGE1_retain)^2) (LUNAR, section 4); 0 is best.

    Args:
        forget_rouge1: mean ROUGE-1 recall on the forget set, in [0, 1].
        retain_rouge1: mean ROUGE-1 recall on the retain set, in [0, 1].

    Raises:
        LunarError: a value outside [0, 1].
    """
    for name, value in (("forget_rouge1", forget_rouge1), ("retain_rouge1", retain_rouge1)):
        if not 0.0 <= value <= 1.0:
            raise LunarError(f"deviation_score: {name} must be between 0 and 1, got {value}")
    return 100.0 * math.hypot(forget_rouge1, 1.0 - retain_rouge1)


@overall(
    "DS",
    better="lower",
    needs=("answer",),
    digits=1,
    source="LUNAR, section 4: 100 sqrt(forget ROUGE-1^2 + (1 - retain ROUGE-1)^2)",
)
def ds(study: Study) -> Estimate:
    """``deviation_score`` of the mean ROUGE-1 recall on the splits forget and retain."""
    try:
        forget, retain = study.mean("forget", rouge1), study.mean("retain", rouge1)
    except Unavailable:
        raise Unavailable("needs gold answers on the splits forget and retain") from None
    samples = 100.0 * np.hypot(forget.samples, 1.0 - retain.samples)
    return Estimate(deviation_score(forget.value, retain.value), samples)
