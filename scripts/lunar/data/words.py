"""How a text is cut into words, in any script.

A word is a run of letters, digits and their combining marks. Scripts that write no blanks between words have no such
runs, so each of their characters is a word. Tibetan is not among them: it has a mark between syllables.
"""

import re
import unicodedata
from functools import cache, lru_cache
from typing import Any

# Han, kana, Bopomofo, Yi, Tangut, Nushu: a character is a syllable or a word.
_EAST = (
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3031-\u3035\u3038-\u30ff\u3105-\u312f\u31a0-\u31ff\u3400-\u4dbf"
    "\u4e00-\ua4cf\uf900-\ufaff\uff66-\uff9f\U00016fe0-\U00018dff\U0001aff0-\U0001b2ff\U00020000-\U0003ffff"
)
# Thai, Lao, Myanmar, Khmer, Tai Le to Tai Tham, Balinese, Javanese, Tai Viet: letters.
_SOUTHEAST = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1950-\u19ff\u1a20-\u1aaf\u1b00-\u1b7f\ua980-\ua9ff\uaa60-\uaadf"
UNSPACED = re.compile(f"[{_EAST}{_SOUTHEAST}]")
# Characters that are no letters; Korean's have blanks between words.
SYLLABLES = re.compile(f"[{_EAST}\uac00-\ud7a3]")
# What shows nothing, frames around a digit, and the stroke that stretches an Arabic word. A zero-width space ends a
# word, so it is not among them.
INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u0640\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200c-\u200f\u202a-\u202e\u2060-\u206f\u20dd-\u20e4\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e0fff]"
)
# Other shapes of the same characters: lowered digits (of water), Roman numerals, full and half width, Arabic letters by
# their place, radicals, letters of formulas. Raised digits are not among them: ten squared is not 102.
SHAPES = re.compile(
    "[\u2080-\u209c\u2160-\u217f\u2f00-\u2fdf\ufb50-\ufdff\ufe70-\ufefc\uff00-\uffef\U0001d400-\U0001d7ff]+"
)
# Vowel points and cantillation of Hebrew and Arabic, which most texts leave out.
POINTS = re.compile(
    "[\u0591-\u05bd\u05bf\u05c1-\u05c5\u05c7\u0610-\u061a\u064b-\u0652\u0656-\u065f\u0670\u06d6-\u06dc\u06df-\u06ed]"
)
# Letters to Unicode, but writers use them and a plain apostrophe for the same.
APOSTROPHES = "\u02b9\u02ba\u02bb\u02bc\u02bd\u02c8"
VOICED = "\uff9e\uff9f"  # marks of half-width kana, which are letters to Unicode


def spans(text: str) -> list[tuple[int, int]]:
    """Where the words of a text stand: from which character to before which."""
    if text.isascii():
        return [match.span() for match in re.finditer("[A-Za-z0-9]+", text)]
    found: list[tuple[int, int]] = []
    inside, grows = False, False  # a mark would belong to the last word; so would a letter
    for place, character in enumerate(text):
        kind = unicodedata.category(character)
        if kind[0] == "M" or character in VOICED or INVISIBLE.match(character):
            found[-1:] = [(found[-1][0], place + 1)] if inside else found[-1:]
        elif kind[0] not in "LN" or character in APOSTROPHES:
            inside = grows = False
        else:
            alone = bool(UNSPACED.match(character)) and kind != "Nd"
            if grows and not alone:
                found[-1] = (found[-1][0], place + 1)
            else:
                found.append((place, place + 1))
            inside, grows = True, not alone
    return found


@cache
def inside_word() -> str:
    """A regular expression for what shows that a word goes on: a letter, digit or mark of a script with blanks."""
    marks = [one for one in range(0x300, 0x2000) if unicodedata.category(chr(one))[0] == "M"]
    firsts = [one for one in marks if one - 1 not in marks]
    lasts = [one for one in marks if one + 1 not in marks]
    ranges = "".join(f"{chr(first)}-{chr(last)}" for first, last in zip(firsts, lasts, strict=True))
    return rf"(?:[^\W{_EAST}{_SOUTHEAST}]|[{ranges}])"


@lru_cache(100_000)
def folded(word: str) -> str:
    """A word as it is compared: composed (NFC), without case, shape, points and what is invisible, digits as 0 to 9."""
    if word.isascii():
        return word.lower()
    word = SHAPES.sub(lambda match: unicodedata.normalize("NFKC", match[0]), unicodedata.normalize("NFC", word))
    # Turkish capital I with a dot folds to an i with a dot of its own.
    word = unicodedata.normalize("NFC", POINTS.sub("", INVISIBLE.sub("", word)).casefold().replace("i\u0307", "i"))
    return re.sub(r"\d", lambda match: str(unicodedata.decimal(match[0])), word)


def words(text: str) -> list[str]:
    """The words of a text, as they are compared (``folded``)."""
    return [word for start, stop in spans(text) if (word := folded(text[start:stop]))]


def pieces(text: str) -> list[str]:
    """A text cut at blanks, and into characters where those are words; punctuation stays with what blanks enclose."""
    found: list[str] = []
    for piece in text.split():
        found += [piece[start:stop] for start, stop in spans(piece)] if UNSPACED.search(piece) else [piece]
    return found


def symbols(text: str) -> list[str]:
    """What a text without words shows: its characters but for blanks, such as those of an answer that is an emoji."""
    return [one for one in INVISIBLE.sub("", unicodedata.normalize("NFC", text)) if not one.isspace()]


@cache
def _porter() -> Any:
    from rouge_score.tokenizers import DefaultTokenizer

    return DefaultTokenizer(use_stemmer=True)


@lru_cache(100_000)
def stem(word: str) -> str:
    """A word of ``words`` as ROUGE compares it: of ASCII words longer than three letters Porter's stem."""
    return _porter().tokenize(word)[0] if word.isascii() else word


def stems(text: str) -> list[str]:
    """The words of a text as ROUGE compares them; of an ASCII text the tokens of ``rouge_score`` with its stemmer."""
    return [stem(word) for word in words(text)]
