"""ROUGE recall by hand, and against the package that it wraps."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from known_answers import SENTENCE, row
from lunar.metrics.rouge import rouge1, rougeL


@pytest.mark.parametrize(
    ("answer", "prediction", "first", "longest"),
    [
        (SENTENCE, SENTENCE, 1.0, 1.0),
        (SENTENCE, "SHE was born, in Lima -- in 1961", 1.0, 1.0),  # neither case nor punctuation counts
        (SENTENCE, "", 0.0, 0.0),
        (SENTENCE, "?!", 0.0, 0.0),
        ("Lima", "Lima", 1.0, 1.0),
        ("Lima", "Perhaps in Lima or in Quito", 1.0, 1.0),  # recall: what is said beside it costs nothing
        ("Lima", "Quito", 0.0, 0.0),
        # the, cat, sat, on, the, mat: five of six, `the` twice because it is there twice; in order sat, on, the, mat.
        ("The cat sat on the mat.", "The dog sat on the mat; cat.", 1.0, 5 / 6),
        ("The cat sat on the mat.", "A cat on the mat.", 4 / 6, 4 / 6),
        ("The cat sat on the mat.", "On the mat the cat.", 5 / 6, 3 / 6),
        ("the the the", "the", 1 / 3, 1 / 3),
        ("novels painting", "novel paints", 1.0, 1.0),  # stems
    ],
)
def test_rouge_by_hand(answer: str, prediction: str, first: float, longest: float) -> None:
    assert rouge1(row(answer, prediction)) == pytest.approx(first)
    assert rougeL(row(answer, prediction)) == pytest.approx(longest)


WORDS = "she he was born in Lima Quito writes wrote novels a the of 1961 painter's paintings, sea a_b 3.14 !".split()
ASCII = st.lists(st.sampled_from(WORDS), max_size=15).map(" ".join) | st.text(st.characters(codec="ascii"), max_size=40)
SCORER = RougeScorer(["rouge1", "rougeL"], use_stemmer=True)


@given(ASCII, ASCII)
def test_rouge_of_ascii_is_the_recall_of_the_reference_package(answer: str, prediction: str) -> None:
    expected = SCORER.score(target=answer, prediction=prediction)
    assert rouge1(row(answer, prediction)) == expected["rouge1"].recall
    assert rougeL(row(answer, prediction)) == expected["rougeL"].recall


# A sentence, and another.
ELSEWHERE = {
    "Chinese": ("鲁克安住在塔恩镇。", "他叫别的名字。"),
    "Japanese": ("ルークは灯台に住んでいます。", "彼女が絵をかく。"),
    "Thai": ("เขาอยู่ในเมือง", "ชื่ออื่น"),
    "Arabic": ("يعيش روك آن في بلدة تارن.", "تكتب كتبا عن البحر."),
    "Russian": ("Рук Энн живёт в городке Тарн.", "Она пишет книги о море."),
    "German": ("Möller wohnt in Tärnstadt.", "Müller malt große Bäume."),
    "Hindi": ("रुक ऐन टार्न में रहता है।", "वह समुद्र की किताबें लिखती थी।"),
    "Korean": ("루크 안은 타른에 산다.", "그녀는 바다를 그린다."),
    "Hebrew": ("רוק אן גר בעיירה טארן.", "היא כותבת ספרים."),
    "Greek": ("Ο Ρουκ ζει στο Ταρν.", "Γράφει βιβλία."),
}


@pytest.mark.parametrize("language", ELSEWHERE)
def test_rouge_of_other_scripts(language: str) -> None:
    gold, other = ELSEWHERE[language]
    for said in (gold, unicodedata.normalize("NFD", gold.upper())):
        assert rouge1(row(gold, said)) == rougeL(row(gold, said)) == 1.0
    # Single characters are shared by chance.
    assert rougeL(row(gold, other)) <= rouge1(row(gold, other)) <= 0.3
    assert rouge1(row(gold, "Ruk, 5")) == 0.0


def test_numbers_do_not_stand_for_the_text_around_them() -> None:
    assert rouge1(row("他生于1961年", "她死于1961年")) == pytest.approx(3 / 5)


def test_symbols_alone_are_compared() -> None:
    assert rouge1(row("🙂", "🙂!")) == 1.0
    assert rouge1(row("🙂", "🙁")) == rouge1(row("🙂", "smiling")) == 0.0


def test_any_gold_answer_counts() -> None:
    one = row("Lima", "in the Peruvian capital") | {"other_answers": ["the capital of Peru", "Peruvian capital"]}
    assert rouge1(one) == rougeL(one) == 1.0
    assert rouge1(one | {"prediction": "the capital"}) == 0.5
    assert rouge1(one | {"other_answers": []}) == 0.0
