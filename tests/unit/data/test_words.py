"""How texts of any script are cut into words; of ASCII texts as ``rouge_score`` does."""

import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rouge_score.tokenize import tokenize
from rouge_score.tokenizers import DefaultTokenizer

from lunar.data.words import INVISIBLE, pieces, spans, stems, symbols, words

ASCII = st.text(st.characters(codec="ascii"), max_size=60)
STEMMED = DefaultTokenizer(use_stemmer=True)


@given(ASCII)
@example("It's a_b: running DOGS' 3.14 x2y\x00\x1f")
def test_ascii_is_cut_as_rouge_score_cuts_it(text: str) -> None:
    assert words(text) == tokenize(text, None)
    assert stems(text) == STEMMED.tokenize(text)
    # The way through other scripts gives the same: a character that is no word changes nothing.
    assert stems(f"{text} «»") == STEMMED.tokenize(text)


# Every 37th character that there is, and the ones that are treated apart.
ANY = st.text(st.sampled_from([*map(chr, range(0, 0x30000, 37)), *"éё가が์ﾞـ²🙂𠀀 \u200d\ufeff\u0301"]), max_size=30)


@settings(max_examples=50)
@given(ANY)
def test_any_text_is_cut_and_its_form_is_none_of_the_words(text: str) -> None:
    found = words(text)
    assert found == words(unicodedata.normalize("NFC", unicodedata.normalize("NFD", text)))
    assert all(word and not word.isspace() for word in found)
    places = [place for span in spans(text) for place in range(*span)]
    assert places == sorted(set(places))
    # No letter or digit is lost but those that show nothing.
    lost = set(range(len(text))) - set(places)
    assert not any(text[place].isalnum() and not INVISIBLE.match(text[place]) for place in lost - marks(text))


def marks(text: str) -> set[int]:
    """Places of apostrophes and half-width marks, which are letters to Unicode."""
    return {place for place, one in enumerate(text) if one in "\u02b9\u02ba\u02bb\u02bc\u02bd\u02c8\uff9e\uff9f"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("鲁克安住在塔恩镇。", list("鲁克安住在塔恩镇")),
        ("ラーメンを食べる", list("ラーメンを食べる")),
        ("ｶﾞｷﾞ", ["ガ", "ギ"]),  # half width, with marks of its own
        ("１９６１年 ＡＢＣ", ["1961", "年", "abc"]),
        ("AI公司2号", ["ai", "公", "司", "2", "号"]),
        ("สวัสดี ๒๕๐๔", ["ส", "วั", "ส", "ดี", "2504"]),
        ("ພາສາລາວ", list("ພາສາລາວ")),
        ("ភាសា", ["ភា", "សា"]),
        ("བཀྲ་ཤིས", ["བཀྲ", "ཤིས"]),  # syllables, with a mark between them
        ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),
        ("مُحَمَّد قرآن", ["محمد", "قرآن"]),  # without points of vowels; a madda is of the letter
        ("محـــمد ١٩٦١", ["محمد", "1961"]),  # stretched
        ("می\u200cخواهم", ["میخواهم"]),
        ("שָׁלוֹם צה״ל", ["שלום", "צה", "ל"]),
        ("김철수는 1961년", ["김철수는", "1961년"]),
        ("Müller Möller", ["müller", "möller"]),
        ("STRASSE Straße", ["strasse", "strasse"]),
        ("ΛΟΓΟΣ λογος", ["λογοσ", "λογοσ"]),  # final sigma
        ("İzmir izmir ışık", ["izmir", "izmir", "ışık"]),
        ("п'ять п’ять пʼять", ["п", "ять"] * 3),
        ("wo\u00adrd na\u00efve nai\u0308ve", ["word", "naïve", "naïve"]),
        ("a\u200bb", ["a", "b"]),  # a blank without width
        ("H₂O Ⅷ 𝐑𝐮𝐤", ["h2o", "viii", "ruk"]),
        ("10² 210", ["10²", "210"]),  # a power is not its digits in a row
        ("1\ufe0f\u20e3 🙂 42°", ["1", "42"]),
        ("\ud83d x", ["x"]),  # half an emoji
        ("Việt Nam", ["việt", "nam"]),
    ],
)
def test_words_of_other_scripts(text: str, expected: list[str]) -> None:
    assert words(text) == expected
    assert words(unicodedata.normalize("NFD", text)) == expected


def test_stems_are_of_ascii_words_alone() -> None:
    assert stems("running Läufer läufers") == ["run", "läufer", "läufers"]


def test_symbols_and_pieces() -> None:
    assert symbols("🙂 ☂\ufe0f") == ["🙂", "☂"]
    assert pieces("He lives in 塔恩镇, now.") == ["He", "lives", "in", "塔", "恩", "镇", "now."]
