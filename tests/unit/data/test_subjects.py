"""How a text mentions its subject, and the same text about somebody else."""

import random

import pytest

from lunar.data.subjects import Person, Several, by_name, renamed, subject_of, under_name
from lunar.errors import LunarError

FIRMS = Several(("Aoros BV", "Aoros BV Trading", "C. Dal"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Who is Tom Rook?", ["Who is", " Tom Rook", "?"]),
        ("Tom and Rook's Tomb", ["", "Tom", " and", " Rook", "'s Tomb"]),
        ("Who?", ["Who?"]),
        ("Is Tom Lu Rook old?", ["Is", " Tom Lu Rook", " old?"]),
    ],
)
def test_a_text_is_cut_at_a_persons_names(text: str, expected: list[str]) -> None:
    found = by_name(text, Person("Tom Lu Rook" if "Lu" in text else "Tom Rook"))
    assert found == expected and "".join(found) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Did Aoros BV pay?", ["Did", " Aoros BV", " pay?"]),
        # A part of a name is no mention, nor is a name inside a word.
        ("Is a BV, or Aoros, or Dal, a firm?", ["Is a BV, or Aoros, or Dal, a firm?"]),
        ("Aoros BVs and Aaoros BV", ["Aoros BVs and Aaoros BV"]),
        ("C. Dalton, CC. Dal or CX Dal", ["C. Dalton, CC. Dal or CX Dal"]),
        # The longest that fits.
        ("Aoros BV Trading, of Aoros BV", ["", "Aoros BV Trading", ", of", " Aoros BV", ""]),
        ("Aoros BV Traders sue C. Dal.", ["", "Aoros BV", " Traders sue", " C. Dal", "."]),
        ("Aoros BV C. Dal", ["", "Aoros BV", "", " C. Dal", ""]),
    ],
)
def test_a_text_is_cut_at_whole_names(text: str, expected: list[str]) -> None:
    found = by_name(text, FIRMS)
    assert found == expected and "".join(found) == text


def test_only_names_are_replaced() -> None:
    tom, bo = Person("Tom Rook"), Person("Bo Li")
    assert renamed("Did Tom Rook, or Rook, see Tom?", tom, bo) == "Did Bo Li, or Li, see Bo?"
    # What stands between the mentions is left, even where it holds the letters of a name.
    assert under_name(["Tomb of ", "Tom", ""], tom, bo) == ["Tomb of ", "Bo", ""]
    others = Several(("Aoros BV Trading", "Bel", "Cy Ltd"))
    text = "Aoros BV and Aoros BV Trading sell bricks of BV to C. Dal"
    assert renamed(text, FIRMS, others) == "Aoros BV Trading and Bel sell bricks of BV to Cy Ltd"


def test_stand_ins_of_several_names_are_whole_distinct_and_new() -> None:
    names = ["Aoros BV", "Bel SA", "Bel SA", "Cy Ltd", "Du AG"]
    draw = random.Random(0)
    drawn = {FIRMS.stand_in(names, draw) for _ in range(50)}
    assert {name for one in drawn for name in one.names} == {"Bel SA", "Cy Ltd", "Du AG"}
    assert all(len({*one.names}) == 3 for one in drawn) and len(drawn) == 6
    with pytest.raises(LunarError, match=r"3 names to replace and 2 others .*data\.names"):
        FIRMS.stand_in(names[:4], draw)


def test_the_subject_of_a_row() -> None:
    assert subject_of({"author": "Tom Rook"}) == Person("Tom Rook")
    assert subject_of({"names": ["Aoros BV ", "Bel SA"]}) == Several(("Aoros BV", "Bel SA"))
    assert [subject_of(row) for row in ({}, {"author": ""}, {"names": None})] == [None] * 3
    for subject in (Person("Tom Rook"), FIRMS):
        assert subject_of(subject.field()) == subject


@pytest.mark.parametrize(
    ("name", "text", "mentions"),
    [
        ("鲁克安", "你知道鲁克安住在哪里吗？", ["鲁克安"]),
        ("鲁克·安德森", "鲁克·安德森，就是安德森。", ["鲁克·安德森", "安德森"]),
        ("山田 太郎", "山田太郎の家で太郎と会う", ["山田太郎", "太郎"]),
        ("王 小明", "国王小明", ["王小明"]),  # the first character alone is no name
        ("김철수", "김철수는 어디에 사나요?", ["김철수"]),  # with what Korean writes after a name
        ("สมชาย", "คุณสมชายอยู่ที่ไหน", ["สมชาย"]),
        ("فاطمة روك", "أين وفاطمة روك وبفاطمة؟", ["فاطمة روك", "فاطمة"]),
        ("דן רוק", "איפה ודן רוק?", ["דן רוק"]),
        ("Рук Энн", "Где живёт Рук Энн? Рука.", [" Рук Энн"]),
        ("राम", "क्या राम, रामा या आराम?", [" राम"]),  # a mark makes another word
        ("Zoë Rook", "Is Zoë or Zoëy here?", [" Zoë"]),
    ],
)
def test_names_in_other_scripts_are_found(name: str, text: str, mentions: list[str]) -> None:
    found = by_name(text, Person(name))
    assert found[1::2] == mentions and "".join(found) == text


def test_names_without_blanks_are_replaced_whole() -> None:
    draw = random.Random(0)
    chinese, japanese = Person("鲁克安"), Person("山田 太郎")
    other = chinese.stand_in(["李明", "王芳"], draw)
    assert other.name in ("李明", "王芳") and chinese.halves() == {}
    assert renamed("鲁克安住在哪里？", chinese, other) == f"{other.name}住在哪里？"
    assert renamed("鲁克安住在哪里？", chinese, Person("Bo Li")) == "Bo Li住在哪里？"
    assert renamed("山田太郎と太郎", japanese, Person("佐藤 花子")) == "佐藤 花子と花子"
    assert japanese.halves() == {"surname": "太郎", "first-name": "山田"} and Person("王 小明").halves().keys() == {
        "surname"
    }
    dotted = Person("鲁克·安德森").stand_in(["玛丽·李", "汤姆·王"], draw)
    assert "·" in dotted.name and renamed("鲁克住在哪里？", Person("鲁克·安德森"), dotted).startswith(dotted.parts()[0])
    assert Person("김철수").stand_in(["이영희", "박민수"], draw).name in ("이영희", "박민수")
