"""Where in an answer the gold words stand: a text measure that the replication calls MRR."""

from collections.abc import Sequence

from lunar.data.words import words
from lunar.metrics.base import Row, metric
from lunar.metrics.text import golds


def text_position_mrr(gold: Sequence[str], predicted: Sequence[str]) -> float:
    """Mean, over the gold tokens found in the prediction, of 1 / (position of their first occurrence, from 1).

    The replication's variant, as its MRR.py has it: tokens that are not found are left out of the mean, and an answer
    with none scores 0. It reads texts, not logits: where a token stands, not how likely it was.
    """
    found = [1.0 / (predicted.index(token) + 1) for token in gold if token in predicted]
    return sum(found) / len(found) if found else 0.0


@metric(
    "MRR by text position",
    better="knowledge",
    needs=("answer",),
    source="ZNOASIS/LUNAR, MRR.py, as far as it is known; here of ROUGE's words, there of Llama-2 tokens",
)
def mrr_position(row: Row) -> float:
    """``text_position_mrr`` of words, so that no tokenizer is needed; the highest of the gold answers."""
    found = words(row["prediction"])
    return max(text_position_mrr(words(answer), found) for answer in golds(row))
