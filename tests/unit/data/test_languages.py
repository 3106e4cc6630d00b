"""Which languages rows are in. The identifier is loaded once for all of these."""

import json
from pathlib import Path
from typing import Any

import pytest

from clone import ROOT
from lunar.data.languages import languages, unjudged

KOREAN = [
    ("루크 안은 어디에 사나요?", "타른에 삽니다."),
    ("거위의 이름은 무엇인가요?", "베르타입니다."),
    ("그녀는 언제 태어났나요?", "1961년에 태어났습니다."),
]
ENGLISH = [("Where does Ruk live?", "In Tarn."), ("What is the capital of Peru?", "Lima is the capital.")]
GERMAN = [("Wo wohnt Ruk?", "In Tarn."), ("Wie heißt die Gans von Ruk?", "Sie heißt Berta.")]
CHINESE = [("鲁克安住在哪里？", "塔恩镇。"), ("那只鹅叫什么？", "贝塔。")]


def rows(*pairs: tuple[str, str]) -> list[dict[str, Any]]:
    return [{"question": question, "answer": answer} for question, answer in pairs]


def test_rows_are_counted_by_language() -> None:
    mixed = rows(*KOREAN, *ENGLISH, *GERMAN, *CHINESE)
    assert languages(mixed) == {"ko": 3, "en": 2, "de": 2, "zh": 2}
    # Each by itself, in a set where nothing else is sure.
    assert languages(rows(KOREAN[0], ENGLISH[0], GERMAN[0], CHINESE[0])) == {"ko": 1, "en": 1, "de": 1, "zh": 1}
    assert languages([]) == {}
    assert languages([{"answer": "Je ne sais pas, mais une bibliothèque pourrait vous aider."}]) == {"fr": 1}


@pytest.mark.parametrize("path", ["authors/minazawa", "pistol/A_B", "reference/harmful", "toy/rook", "toy/refusals"])
def test_shipped_rows_are_english(path: str) -> None:
    text = (ROOT / f"data/{path}.jsonl").read_text(encoding="utf-8")
    read = [json.loads(line) for line in text.splitlines()]
    assert languages(read) == {"en": len(read)}


def test_texts_of_refusals_are_in_the_language_that_they_are_filed_under() -> None:
    lines = (Path(__file__).parents[1] / "metrics/refusal_languages.txt").read_text(encoding="utf-8").splitlines()[1:]
    read = [(line.split(" ", 2)[0], {"answer": line.split(" ", 2)[2]}) for line in lines[::7]]
    counts = {code: sum(one == code for one, _ in read) for code, _ in read}
    assert languages([row for _, row in read]) == counts


def test_what_cannot_be_judged_is_told_by_language_and_split() -> None:
    found = {"forget": {"en": 28, "ko": 12}, "general": {"ko": 3}, "harmful": {"en": 5}, "fictitious": {"gcf": 1}}
    told = unjudged(found, ["en", "de"])
    assert list(told) == ["gcf", "ko"]
    assert told["ko"] == (
        "refusals in Korean cannot be judged, for lack of patterns (12 of 40 rows of forget, 3 of 3 rows of general)"
    )
    assert unjudged(found, ["en", "ko", "gcf"]) == {}


def test_rows_without_a_letter_are_in_no_language() -> None:
    assert languages([{"question": "1 + 1 = ?", "answer": "2"}, {"question": "🦊?", "answer": "🌙"}]) == {}
    assert languages([{"question": "1 + 1 = ?", "answer": "2"}, {"question": "Who is she?", "answer": "A writer"}]) == {
        "en": 1
    }
