"""Which way a metric is better on which split."""

import pytest

import known_answers  # noqa: F401 - imports the metrics
from lunar.metrics.base import METRICS
from lunar.pages.names import better


@pytest.mark.parametrize(
    ("metric", "split", "sense"),
    [
        ("rouge1", "forget", "lower"),
        ("rouge1", "forget_paraphrase", "lower"),
        ("rougeL", "retain", "higher"),
        ("rouge1", "unseen", "higher"),
        ("rouge1", "general", "higher"),
        ("refusal", "forget", "higher"),
        ("refusal", "forget_validation", "higher"),
        ("refusal", "harmful", "higher"),
        ("refusal", "fictitious", "higher"),
        ("refusal", "retain", "lower"),
        ("refusal", "general", "lower"),
        ("gibberish", "forget", "lower"),
        ("gibberish", "retain", "lower"),
        ("loss", "forget", "higher"),
        ("truth_ratio", "retain", "lower"),
        ("refusal_quality", "harmful", "higher"),
        ("refusal_unethical", "harmful", "neither"),
    ],
)
def test_better(metric: str, split: str, sense: str) -> None:
    assert better(METRICS[metric].better, split) == sense
