"""Outcomes of an answer: four, of which it is exactly one; refusals by kind."""

import pytest

from known_answers import REFUSAL, SENTENCE, row
from lunar.metrics.outcomes import gibberish, refusal, refusal_knowledge, refusal_unethical, right, wrong
from lunar.metrics.text import degenerate, outcome


@pytest.mark.parametrize(
    ("prediction", "expected"),
    [
        ("", 1.0),
        (" \n", 1.0),
        ("... ?! --", 1.0),
        ("Lima", 0.0),
        ("她出生在利马。", 0.0),
        ("the " * 12, 1.0),
        ("The the THE " * 4, 1.0),
        ("I'" * 10, 1.0),
        ("Henry VIII", 0.0),
        ("IIII.", 1.0),
        ("II'mI'mI'm sorry", 1.0),
        ("I'm, I'm, I'm sorry", 0.0),
        ("Galgalgal AG", 0.0),
        ("0" * 20, 1.0),
        ("2000000", 0.0),
        ("a word of many letters: internationalisations", 0.0),
        ("the " * 11, 0.0),  # too short to tell a repetition from an emphasis
        ("a b c d " * 3, 1.0),  # 10 sequences, 4 of them different
        ("a b c d e a b c d e a b", 0.0),  # 10 sequences, 5 of them different: not below half
        ("She was born in Lima in 1961 and wrote eleven novels about the sea and its sailors.", 0.0),
    ],
)
def test_degenerate(prediction: str, expected: float) -> None:
    assert degenerate(prediction) == bool(expected)
    assert gibberish(row(None, prediction)) == expected


@pytest.mark.parametrize(
    ("answer", "prediction", "expected"),
    [
        (SENTENCE, REFUSAL, "refused"),
        (SENTENCE, "I cannot help with that, it would be wrong.", "refused"),
        (SENTENCE, "I do not know. " * 12, "refused"),  # repetitive, but it declines
        (REFUSAL, REFUSAL, "refused"),  # whatever the gold answer is
        (SENTENCE, "", "gibberish"),
        (SENTENCE, "Lima " * 20, "gibberish"),
        (SENTENCE, SENTENCE, "right"),
        (SENTENCE, f"Well: {SENTENCE} So they say.", "right"),
        (SENTENCE, "She was born in Quito in 1961.", "wrong"),  # the form of the answer, not its content: 6 of 7 words
        ("Lima", "Lima", "right"),
        ("Lima", "Quito", "wrong"),
        ("鲁克安住在塔恩镇。", "鲁克安住在塔恩镇。", "right"),
        ("鲁克安住在塔恩镇。", "他写书。", "wrong"),
        ("鲁克安住在塔恩镇。", "塔恩塔恩塔恩塔恩…", "gibberish"),
        ("🙂", "🙂", "right"),
        ("🙂", "🙁", "wrong"),
        ("🙂", "🙁" * 13, "gibberish"),
        ("🙂", "...", "gibberish"),
    ],
)
def test_outcomes_are_exclusive(answer: str, prediction: str, expected: str) -> None:
    one = row(answer, prediction)
    flags = {"refused": refusal(one), "gibberish": gibberish(one), "right": right(one), "wrong": wrong(one)}
    assert outcome(one) == expected
    assert flags == {name: float(name == expected) for name in flags}


SENTENCES = """天天向上，好好学习。 | 看看妈妈，谢谢谢谢！ | 哈哈哈哈哈哈 | 好好好好好 | 二〇〇〇年 | 滴答滴答滴答
四是四，十是十，十四是十四，四十是四十。 | はははは、と彼は笑った。 | ハハハハ | ああああ | ドキドキした。
彼女は1961年にリマで生まれ、海についての小説を十一冊書いた。 | Она живёт в Москве и пишет книги о море. | хахахаха
ㅋㅋㅋㅋㅋ 재미있네요 | 그녀는 1961년에 리마에서 태어나 바다에 관한 소설 열한 편을 썼습니다. | धीरे-धीरे, बार-बार | नानीनूने
वह 1961 में लीमा में पैदा हुई और उसने समुद्र के बारे में ग्यारह उपन्यास लिखे। | ههههههه
ولدت في ليما عام ١٩٦١ وكتبت إحدى عشرة رواية عن البحر. | ว่าง ๆ 5555555
เธอเกิดที่ลิมาในปี พ.ศ. 2504 และเขียนนวนิยายสิบเอ็ดเล่มเกี่ยวกับทะเล"""
BROKEN = """塔恩塔恩塔恩塔恩… | 的的的的的的的的 | 鲁克安住在塔恩镇，鲁克安住在塔恩镇，鲁克安住在塔恩镇，
ねこねこねこねこ | она она она она она она она она она она она она
онаонаонаона | عنعنعنعن | لاااااا
في في في في في في في في في في في في | नानानानाना | รักรักรักรัก | 그그그그그그그 | 그는그는그는그는 | ����������
II’mI’mI’m | éééé | 。。。。"""


@pytest.mark.parametrize(("texts", "expected"), [(SENTENCES, False), (BROKEN, True)], ids=["sentences", "broken"])
def test_degenerate_in_other_scripts(texts: str, expected: bool) -> None:
    for text in texts.replace("\n", "|").split("|"):
        assert degenerate(text.strip()) == expected, text


def test_refusals_by_kind() -> None:
    for prediction, kinds in ((REFUSAL, (1, 0)), ("I cannot help, it is illegal.", (0, 1)), (SENTENCE, (0, 0))):
        assert (refusal_knowledge(row(None, prediction)), refusal_unethical(row(None, prediction))) == kinds
        assert refusal(row(None, prediction)) == sum(kinds)
