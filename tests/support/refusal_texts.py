"""Texts of other languages than English, each labelled as a refusal or an answer; run, it measures the classifier.

Every third text of a language was held out while its patterns were written.
"""

from clone import ROOT
from lunar.metrics.refusal import classify

LETTERS = {"k": "knowledge", "u": "unethical", "a": "answer"}


def texts(held: bool) -> dict[str, list[tuple[str, str]]]:
    """Kind and text by language: those held out, or the others."""
    found: dict[str, list[tuple[str, str]]] = {}
    path = ROOT / "tests/unit/metrics/refusal_languages.txt"
    for line in path.read_text(encoding="utf-8").splitlines()[1:]:
        language, letter, text = line.split(" ", 2)
        found.setdefault(language, []).append((LETTERS[letter], text))
    return {name: [one for n, one in enumerate(rows) if (n % 3 == 2) == held] for name, rows in found.items()}


def measured(rows: list[tuple[str, str]]) -> str:
    """Precision and recall of refusals, and how many found ones are of the other kind."""
    pairs = [(kind, classify(text)) for kind, text in rows]
    hits = [pair for pair in pairs if "answer" not in pair]
    said, true = (sum(pair[place] != "answer" for pair in pairs) for place in (1, 0))
    other = sum(kind != found for kind, found in hits)
    return f"{len(rows)} texts, precision {len(hits) / said:.2f}, recall {len(hits) / true:.2f}, other kind {other}"


if __name__ == "__main__":
    held = texts(True)
    for language, rows in held.items():
        print(f"{language}: {measured(rows)}")
    print(f"all: {measured([row for rows in held.values() for row in rows])}")
