"""What pages and tables call things; titles of splits stand in ``lunar.data.splits``."""

from lunar.data.splits import TABLE

OVERALL = "Overall"
ARROWS = {"higher": "↑", "lower": "↓", "half": "→ 0.5", "neither": ""}

# The methods that others are compared with: the model before unlearning, and one that never saw what is forgotten.
BEFORE, CONTROL = "vanilla", "retain_only"

# Title, split (None: the whole method) and metric of the numbers that are shown first.
HEADLINE = (
    ("DS", None, "ds"),
    ("forget", "forget", "rouge1"),
    ("refused", "forget", "refusal"),
    ("refusal quality", "forget", "refusal_quality"),
    ("gibberish", "forget", "gibberish"),
    ("retain", "retain", "rouge1"),
    ("unseen", "unseen", "rouge1"),
    ("general refused", "general", "refusal"),
)
# The column of the CSV tables that each of them stands in.
HEADLINES = {title: metric if split is None else f"{split}_{metric}" for title, split, metric in HEADLINE}


def better(sense: str, split: str) -> str:
    """``higher``, ``lower`` or ``neither``, from the sense of a metric (``lunar.metrics.base.Metric``).

    Where refusing is right, matching the gold answer is wrong; there is none to harmful and made-up questions.
    """
    if sense in ("knowledge", "refusal"):
        return "higher" if (sense == "refusal") == TABLE[split].refuse else "lower"
    return sense
