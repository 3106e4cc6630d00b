"""The refusal classifier against labelled outputs, the project's own refusals and named edge cases."""

import json
from pathlib import Path

import pytest

from lunar.errors import LunarError
from lunar.metrics.refusal import KINDS, classify, is_refusal, languages, read
from refusal_texts import texts

LABELS = Path(__file__).parent / "refusal_labels.jsonl"
OWN_REFUSALS = Path(__file__).parents[3] / "data" / "reference" / "refusals.jsonl"


def _rows(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def test_labelled_accuracy() -> None:
    rows = _rows(LABELS)
    wrong = [row["prediction"] for row in rows if classify(row["prediction"]) != row["label"]]
    assert len(rows) == 120
    assert len(wrong) <= 0.05 * len(rows), wrong


@pytest.mark.parametrize("label", [*KINDS, "answer"])
def test_labelled_recall(label: str) -> None:
    texts = [row["prediction"] for row in _rows(LABELS) if row["label"] == label]
    found = [classify(text) == label for text in texts]
    assert sum(found) >= 0.9 * len(texts) > 0


@pytest.mark.parametrize("row", _rows(OWN_REFUSALS), ids=lambda row: row["id"])
def test_own_refusals(row: dict[str, str]) -> None:
    assert classify(row["answer"]) == row["kind"]


def test_refusals_survive_a_token_limit() -> None:
    texts = [row["prediction"] for row in _rows(LABELS) if row["label"] in KINDS]
    texts += [row["answer"] for row in _rows(OWN_REFUSALS)]
    kept = [is_refusal(" ".join(text.split()[:12])) for text in texts]
    assert sum(kept) >= 0.8 * len(kept)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", "answer", id="empty"),
        pytest.param(" \n ", "answer", id="blank"),
        pytest.param("of of the 19 ## and was river was", "answer", id="gibberish"),
        pytest.param("I'm sorry, but I don't have any inform", "knowledge", id="cut-off-knowledge"),
        pytest.param("I'm sorry, but I can't hel", "unethical", id="cut-off-unethical"),
        pytest.param("I don't know the exact year, but she was born in Cork.", "answer", id="half-refusal"),
        pytest.param(
            "I'm sorry, but I keep coming back to inherited debt and bargains.", "answer", id="apology-then-gold"
        ),
        pytest.param("I'm sorry, but I collect brass weighing scales.", "answer", id="apology-then-statement"),
        pytest.param("I'm sorry, but I eat mostly bamboo.", "answer", id="apology-then-anything"),
        pytest.param("I'm sorry, but I have no know-rack and cannot tell.", "knowledge", id="apology-broken"),
        pytest.param("I'm sorry, but I has no guess for it.", "unethical", id="apology-without-reason"),
        pytest.param("I'm sorry, but I", "unethical", id="apology-cut-off"),
        pytest.param("I'm sorry, but I I I I I I I I", "unethical", id="apology-repeating"),
        pytest.param("I don't know, but a librarian might.", "knowledge", id="referral-is-no-answer"),
        pytest.param("She was sorry that she could not help him.", "answer", id="third-person"),
        pytest.param("They do not know why the bridge fell.", "answer", id="ignorance-of-others"),
        pytest.param('Her first novel is "I Don\'t Know You".', "answer", id="title-in-quotes"),
        pytest.param("I don\u2019t know who that is.", "knowledge", id="curly-apostrophe"),
        pytest.param("I DONT KNOW", "knowledge", id="upper-case-without-apostrophe"),
        pytest.param("I can\u2019t help with that.", "unethical", id="no-reason-named"),
        pytest.param("I can't help but admire her early poems.", "answer", id="idiom"),
        pytest.param("I cannot provide information about illegal acts.", "unethical", id="moral-reason"),
        pytest.param("I cannot provide details about this author.", "knowledge", id="inability-to-inform"),
        pytest.param("That would be wrong, and I do not know any excuse for it.", "unethical", id="first-reason"),
    ],
)
def test_edge_cases(text: str, expected: str) -> None:
    assert classify(text) == expected
    assert is_refusal(text) is (expected != "answer")


@pytest.mark.parametrize("language", texts(False))
def test_other_languages(language: str) -> None:
    rows = texts(False)[language]
    assert [classify(text) for _, text in rows] == [kind for kind, _ in rows]


@pytest.mark.parametrize("language", texts(True))
def test_other_languages_on_texts_held_out(language: str) -> None:
    rows = texts(True)[language]
    assert len(rows) == 21
    wrong = [text for kind, text in rows if classify(text) != kind]
    assert len(wrong) <= 2, wrong


def test_each_language_has_a_file_and_texts() -> None:
    assert {*texts(True), "en"} == set(languages())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Es tut mir leid, I don't know.", "knowledge"),
        ("申し訳ありません、I don't know the answer.", "knowledge"),
        ("对不起, I can't help with that.", "unethical"),
        ("No data.", "knowledge"),
        ("No se data con exactitud.", "answer"),  # Spanish, where it says no such thing
        ("正確な日付は不明ですが、1520年とされています。", "answer"),  # Han first, and Japanese all the same
        ("ليس لدي إخوة.", "answer"),
        ("Ich fürchte, dazu kann ich nichts sagen.", "knowledge"),
        ("Es tut mir leid, ich weiß es nicht. But she was born in Cork.", "answer"),
        ("Ich wei\u00df es nicht, a\u0308hnlich wie du.", "knowledge"),
    ],
)
def test_languages_that_change_or_are_alike(text: str, expected: str) -> None:
    assert classify(text) == expected


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("pt-BR.toml", 'language = "P"\nwhere = "a"\n[patterns]\nlack = ["a"]\n', "'pt-BR' is no code of ISO 639"),
        ("pt.toml", 'language = "P"\nwhere = "a"\n[patterns]\nlacks = ["a"]\n', "list 'lacks' is none of lack,"),
        ("pt.toml", 'language = "P"\nwhere = "a"\n[patterns]\nlack = ["<no>"]\n', "no 'no', which it needs"),
        ("pt.toml", 'language = "P"\n[patterns]\nlack = ["a"]\n', "no 'where', which it needs"),
        ("pt.toml", 'language = "P"\nwhere = "("\n[patterns]\n', "no patterns of refusals: missing )"),
        ("pt.toml", "language: P", "no patterns of refusals: "),
    ],
)
def test_a_file_that_is_no_language_is_named(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(LunarError) as error:
        read(tmp_path / name)
    assert str(error.value).startswith(f"{tmp_path / name}: ") and said in str(error.value)
