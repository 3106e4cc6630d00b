"""Two methods under two attacks: answers whose numbers are known, and the table of attacks made of them."""

from typing import Any

from known_answers import UNDER_ATTACK
from lunar.metrics import study
from lunar.metrics.samples import Evaluated, compare
from lunar.pages.attacks import compared, tabulate

WORDS = ["red", "green", "blue", "black"]
REFUSAL = "I'm sorry, but I don't know the answer to that question."


def rows(known: int, total: int = 5) -> list[dict[str, Any]]:
    """Answers, each with so many of the four gold words; a refusal where it has none."""
    prediction = " ".join(WORDS[:known]) or REFUSAL
    return [{"id": str(i), "question": "?", "answer": " ".join(WORDS), "prediction": prediction} for i in range(total)]


def evaluated(forget: int, retain: int, alone: tuple[int, int] | None = None, total: int = 5) -> Evaluated:
    """What is known of a pair, by the words known of each set, under attack and where it is left alone."""
    chosen = (dict(UNDER_ATTACK["answers"]), dict(UNDER_ATTACK["methods"]))
    found = study.evaluate({"forget": rows(forget, total), "retain": rows(retain)}, 50, 0, *chosen)
    if alone:
        unattacked = {"forget": rows(alone[0], total), "retain": rows(alone[1])}
        compare("", found, {"unattacked": study.evaluate(unattacked, 50, 0, *chosen)})
    return found


def pairs() -> dict[tuple[str, str], Evaluated]:
    """As a run leaves them; fresh ones, since they are changed where they are compared."""
    return {
        ("retain_only", "none"): evaluated(1, 4),
        ("retain_only", "skip"): evaluated(1, 4, (1, 4)),
        ("retain_only", "typos"): evaluated(2, 4, (1, 4), total=3),
        ("lunar", "none"): evaluated(0, 4),
        ("lunar", "skip"): evaluated(3, 2, (0, 4)),
        ("lunar", "typos"): evaluated(2, 4, (1, 4), total=3),
    }


METRICS = compared(pairs())
EVIDENCE = {pair: {"changed": {"forget": 0.5, "retain": 0.25}} for pair in METRICS if pair[1] != "none"}
TABLE = tabulate(METRICS, EVIDENCE)
