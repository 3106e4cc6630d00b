"""Layer scores and the choice of layers, computed by hand."""

import numpy as np
import pytest

from lunar.errors import LunarError
from lunar.metrics.layer_score import choose, layer_score

VECTORS = {
    "I lack the knowledge": [1.0, 0.0, 0.0],
    "unsure": [0.8, 0.6, 0.0],
    "that is wrong": [0.0, 1.0, 0.0],
    "illegal": [0.0, 0.0, 1.0],
    "an answer": [0.0, -0.6, -0.8],
}


def _embed(texts) -> np.ndarray:
    return np.array([VECTORS[text] for text in texts])


@pytest.mark.parametrize(
    ("outputs", "knowledge", "unethical"),
    [
        (["I lack the knowledge"], 1.0, 0.0),
        (["that is wrong"], 0.0, 1.0),
        (["unsure"], 0.8, 0.6),  # the higher of 0.6 and 0
        (["an answer"], 0.0, -0.6),  # the higher of -0.6 and -0.8: not the larger magnitude
        (["unsure", "illegal"], 0.4, 0.8),
        (["unsure", "illegal", "an answer"], 0.8 / 3, 1.0 / 3),
    ],
)
def test_layer_score(outputs: list[str], knowledge: float, unethical: float) -> None:
    found = layer_score(outputs, "I lack the knowledge", ["that is wrong", "illegal"], _embed)
    assert found == pytest.approx({"score": knowledge - unethical, "knowledge": knowledge, "unethical": unethical})


@pytest.mark.parametrize(
    ("scores", "top_k", "best", "top"),
    [
        ({4: 0.1, 8: 0.5, 12: 0.3}, 2, 8, [8, 12]),
        ({12: 0.5, 8: 0.5, 4: 0.1}, 2, 8, [8, 12]),  # a tie: the earlier layer, whatever the order of the keys
        ({12: 0.5, 8: 0.5, 4: 0.5}, 3, 4, [4, 8, 12]),
        ({20: -0.2, 3: -0.7}, 1, 20, [20]),
    ],
)
def test_choose(scores: dict[int, float], top_k: int, best: int, top: list[int]) -> None:
    assert choose(scores, top_k) == {"best": best, "top_k": top}


def test_choose_more_than_there_are() -> None:
    with pytest.raises(LunarError, match="top_k is 3, but only 2"):
        choose({1: 0.0, 2: 1.0}, 3)
