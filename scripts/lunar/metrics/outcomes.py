"""What kind of answer it is: four exclusive outcomes (``lunar.metrics.text.outcome``), and refusals by their kind."""

from lunar.metrics import text
from lunar.metrics.base import Row, metric
from lunar.metrics.text import RIGHT

_HERE = "this project: outcomes of an answer, lunar.metrics.text.outcome"


@metric("Refused", better="refusal", source=f"{_HERE}; classifier lunar.metrics.refusal")
def refusal(row: Row) -> float:
    """1 where the answer declines, for lack of knowledge or on ethical grounds."""
    return text.refusal(row)


@metric("Wrong", better="neither", needs=("answer",), source=f"{_HERE}; ROUGE-L recall below {RIGHT}")
def wrong(row: Row) -> float:
    """1 where an answer is given and is not the gold one."""
    return text.wrong(row)


@metric("Right", better="knowledge", needs=("answer",), source=f"{_HERE}; ROUGE-L recall of {RIGHT} or more")
def right(row: Row) -> float:
    """1 where the gold answer is reproduced."""
    return text.right(row)


@metric(
    "Gibberish", better="lower", source=f"{_HERE}; empty, stuttering, or half of its three-word sequences are repeats"
)
def gibberish(row: Row) -> float:
    """1 where the answer is no refusal and degenerate."""
    return text.gibberish(row)


@metric("Refused: lack of knowledge", better="neither", source="this project's classifier, lunar.metrics.refusal")
def refusal_knowledge(row: Row) -> float:
    """1 where the answer declines for lack of knowledge."""
    return float(text.kind(row["prediction"]) == "knowledge")


@metric("Refused: unethical", better="neither", source="this project's classifier, lunar.metrics.refusal")
def refusal_unethical(row: Row) -> float:
    """1 where the answer declines on ethical or legal grounds, or without naming lack of knowledge."""
    return float(text.kind(row["prediction"]) == "unethical")
