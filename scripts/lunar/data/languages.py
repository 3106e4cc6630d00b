"""Which languages rows are in, by py3langid (Naive Bayes over bytes), and what that means for readers."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any

# Names of languages that the identifier knows; others are called by their code.
NAMES = dict(
    pair.split(":")
    for pair in (
        "af:Afrikaans am:Amharic ar:Arabic az:Azerbaijani be:Belarusian bg:Bulgarian bn:Bengali bs:Bosnian ca:Catalan "
        "cs:Czech cy:Welsh da:Danish de:German el:Greek en:English eo:Esperanto es:Spanish et:Estonian eu:Basque "
        "fa:Persian fi:Finnish fr:French ga:Irish gl:Galician gu:Gujarati ha:Hausa he:Hebrew hi:Hindi hr:Croatian "
        "hu:Hungarian hy:Armenian id:Indonesian ig:Igbo is:Icelandic it:Italian ja:Japanese ka:Georgian kk:Kazakh "
        "km:Khmer kn:Kannada ko:Korean ku:Kurdish ky:Kyrgyz la:Latin lo:Lao lt:Lithuanian lv:Latvian mk:Macedonian "
        "ml:Malayalam mn:Mongolian mr:Marathi ms:Malay mt:Maltese my:Burmese ne:Nepali nl:Dutch no:Norwegian "
        "pa:Punjabi pl:Polish ps:Pashto pt:Portuguese ro:Romanian ru:Russian si:Sinhala sk:Slovak sl:Slovenian "
        "so:Somali sq:Albanian sr:Serbian sv:Swedish sw:Swahili ta:Tamil te:Telugu th:Thai tl:Tagalog tr:Turkish "
        "uk:Ukrainian ur:Urdu uz:Uzbek vi:Vietnamese xh:Xhosa yo:Yoruba zh:Chinese zu:Zulu"
    ).split()
)
# Kinds of a language that the identifier tells apart and the patterns of refusals do not.
SAME = {"wuu": "zh", "yue": "zh", "arz": "ar", "ary": "ar", "nn": "no", "uzs": "uz"}
SURE, VERY_SURE, UNLIKELY = 0.8, 0.98, 0.1


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def _likely(text: str) -> Counter[str]:
    """Probability of each language of a text."""
    found: Counter[str] = Counter()
    for code, probability in _identifier().rank(text):
        found[SAME.get(code, code)] += probability
    return found


def languages(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How many rows are in each language (ISO 639), most frequent first; question and answer of a row count together.

    Short rows alone are uncertain. A language is therefore one of the rows' where all of them together are in it, where
    two rows surely are, or one very surely is. A row is in the likeliest of these, unless none is likely at all. Rows
    without a letter are in none.
    """
    texts = [" ".join(str(row[key]) for key in ("question", "answer") if row.get(key)) for row in rows]
    texts = [text for text in texts if any(map(str.isalpha, text))]
    if not texts:
        return {}
    likely = [_likely(text) for text in texts]
    best = [found.most_common(1)[0] for found in likely]
    sure = Counter(code for code, probability in best if probability >= SURE)
    there = {_likely("\n".join(texts)).most_common(1)[0][0]}
    there |= {code for code, probability in best if sure[code] > 1 or probability >= VERY_SURE}
    chosen = []
    for found, (alone, probability) in zip(likely, best, strict=True):
        known = max(sorted(there), key=found.__getitem__)
        chosen.append(known if found[known] >= UNLIKELY * probability else alone)
    return dict(Counter(chosen).most_common())


def named(code: str) -> str:
    """The English name of a language."""
    return NAMES.get(code, code)


def unjudged(found: Mapping[str, Mapping[str, int]], judged: Collection[str]) -> dict[str, str]:
    """Where refusals cannot be told, a text a language by its code; empty where all is judged.

    Args:
        found: ``languages`` by split.
        judged: codes of the languages that there are patterns of refusals for.
    """
    places: dict[str, list[str]] = {}
    for split, counts in found.items():
        for code in counts.keys() - {*judged}:
            places.setdefault(code, []).append(f"{counts[code]} of {sum(counts.values())} rows of {split}")
    return {
        code: f"refusals in {named(code)} cannot be judged, for lack of patterns ({', '.join(where)})"
        for code, where in sorted(places.items())
    }
