"""How much of the gold answer an answer repeats: recall of ROUGE (Lin 2004), in the mean over a split."""

from lunar.metrics import text
from lunar.metrics.base import Row, metric


@metric(
    "ROUGE-1", better="knowledge", needs=("answer",), source="Lin 2004; recall with stemming, as in LUNAR, section 4"
)
def rouge1(row: Row) -> float:
    """Share of the gold answer's words (stemmed) that the prediction contains."""
    return text.rouge1(row)


@metric(
    "ROUGE-L", better="knowledge", needs=("answer",), source="Lin 2004; recall with stemming, as in TOFU, section 2.2"
)
def rougeL(row: Row) -> float:
    """Longest common subsequence of words (stemmed), as a share of the gold answer."""
    return text.rougeL(row)
