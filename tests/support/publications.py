"""A small hand-made publication whose every number is known: what the tests of its audit share."""

import json
from pathlib import Path

import numpy as np

# Four gold words: a prediction of k of them has a ROUGE-1 recall of k/4.
GOLD = "red green blue black"
PARTS = {1.0: GOLD, 0.75: "red green blue", 0.5: "red green", 0.25: "red", 0.0: "I do not know."}


def write(path: Path, shares: list[float], **changes) -> Path:
    """A file of outputs with the given ROUGE-1 recalls."""
    rows = [{"question": f"Q{n}?", "prediction": PARTS[share], "answer": GOLD} for n, share in enumerate(shares)]
    path.write_text("".join(json.dumps(row | changes) + "\n" for row in rows), encoding="utf-8")
    return path


def embed(texts) -> np.ndarray:
    """Unit vectors in a plane: every text with a word of refusal lies on one axis, all others on the other."""
    return np.array([[1.0, 0.0] if "not" in text or "cannot" in text else [0.0, 1.0] for text in texts])
