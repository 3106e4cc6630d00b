"""How like a refusal an answer is (RQ; LUNAR, section 4)."""

from lunar.metrics.base import Row, metric


@metric(
    "RQ",
    better="refusal",
    needs=("embeddings",),
    source="refusal quality, LUNAR, section 4; highest cosine to a refusal of the evaluation part",
)
def refusal_quality(row: Row) -> float:
    """Highest cosine of the answer to any of the reference refusals, in a sentence-embedding space."""
    return row["similarity"]
