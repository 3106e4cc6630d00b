"""Whom a row is about, how a text mentions them, and the same text about somebody else.

A row names its subject in one of two fields. ``author`` is the full name of a person. ``names`` are all names that make
up the subject, such as the two firms of a contract. A row with neither names nobody.
"""

import random
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from lunar.data.words import SYLLABLES, UNSPACED, inside_word
from lunar.errors import LunarError

# What stands between the parts of a name: blanks, or the dot of a foreign name in Chinese and Japanese.
SEPARATOR = re.compile(r"[\s·・‧•＝]+")
# What Arabic and Hebrew write before a name without a blank: and, in, to, as, the.
PREFIXED = r"(?<=\b[وفبلك])|(?<=\b[وف][بلك])|(?<=\b[והבלמשכ])|(?<=\b[ושמ][הבלכש])"


class Person(NamedTuple):
    """Somebody who goes by the full name, by the first name or by the surname alone.

    A name without blanks is one name. Of one with blanks, a single character that is a syllable is no name by itself.
    """

    name: str

    def parts(self) -> list[str]:
        """The names that the full name is made of."""
        return SEPARATOR.split(self.name.strip())

    def whole(self) -> list[str]:
        """The full name; where blanks between its parts are optional, also without them."""
        full, joined = " ".join(self.name.split()), "".join(self.parts())
        return [full, joined] if SYLLABLES.search(joined) and joined != full else [full]

    def mentions(self) -> list[str]:
        """What a text may call the subject, in the order in which it is looked for."""
        own = self.parts()
        return [*self.whole(), *(part for part in (own[0], own[-1]) if _stands_alone(part))]

    def replaced(self, mention: str, other: "Person") -> str:
        """A mention of this subject as one of ``other``."""
        own, new = self.parts(), other.parts()
        if len(own) == 1 and SYLLABLES.search(self.name):
            return other.name
        if mention in (own[0], own[-1]):
            return new[0] if mention == own[0] else new[-1]
        if SYLLABLES.search(other.name) or mention not in self.whole()[:1]:
            return other.name
        return mention.replace(own[0], new[0]).replace(own[-1], new[-1])

    def stand_in(self, names: Sequence[str], draw: random.Random) -> "Person":
        """Somebody invented; first name and surname are drawn apart, but for names without blanks."""
        first, second = draw.choice(names), draw.choice(names)
        given, family = Person(first).parts()[0], Person(second).parts()[-1]
        apart = SEPARATOR.search(self.name.strip())
        if (not apart and SYLLABLES.search(self.name)) or (SYLLABLES.search(first) and given == first.strip()):
            return Person(first.strip())
        return Person(f"{given}{apart[0] if apart and not apart[0].isspace() else ' '}{family}")

    def halves(self) -> dict[str, str]:
        """The two halves of the full name, by what an id calls them."""
        own = self.parts()
        found = {"surname": own[-1], "first-name": own[0]} if len(own) > 1 else {}
        return {kind: part for kind, part in found.items() if _stands_alone(part)}

    def field(self) -> dict[str, Any]:
        """The field of a row about this subject."""
        return {"author": self.name}


def _stands_alone(part: str) -> bool:
    return len(part) > 1 or not SYLLABLES.match(part)


class Several(NamedTuple):
    """Several names that make up one subject; each is mentioned as a whole only."""

    names: tuple[str, ...]

    def mentions(self) -> list[str]:
        """The names, the longest first: one may begin as another does."""
        return sorted(self.names, key=len, reverse=True)

    def replaced(self, mention: str, other: "Several") -> str:
        """The name of ``other`` in the same place."""
        return other.names[self.names.index(mention)]

    def stand_in(self, names: Sequence[str], draw: random.Random) -> "Several":
        """As many invented names, whole and distinct.

        Raises:
            LunarError: there are too few.
        """
        others = [name for name in dict.fromkeys(map(str.strip, names)) if name not in self.names]
        if len(others) < len(self.names):
            raise LunarError(
                f"{', '.join(self.names)}: {len(self.names)} names to replace and {len(others)} others to take their "
                "place; add some to the file of data.names"
            )
        return Several(tuple(draw.sample(others, len(self.names))))

    def halves(self) -> dict[str, str]:
        """None: half of such a name is no name."""
        return {}

    def field(self) -> dict[str, Any]:
        """The field of a row about this subject."""
        return {"names": list(self.names)}


Subject = Person | Several


def subject_of(row: Mapping[str, Any]) -> Subject | None:
    """The subject that a row names; None where it names nobody."""
    if row.get("author"):
        return Person(row["author"])
    return Several(tuple(name.strip() for name in row["names"])) if row.get("names") else None


def by_name(text: str, subject: Subject) -> list[str]:
    """A text cut at the mentions of a subject: at even places what stands between them, at odd ones the mentions.

    A mention is whole words, with the space before it, which many tokenizers make part of the word. Scripts without
    blanks have no such bounds, Korean none at the end, and Arabic and Hebrew write some words as one with the next.
    """
    return _named(subject).split(text)


@lru_cache(1000)
def _named(subject: Subject) -> re.Pattern[str]:
    return re.compile(rf"( ?(?:{'|'.join(map(_bounded, subject.mentions()))}))")


def _bounded(mention: str) -> str:
    before = "" if UNSPACED.match(mention) else rf"(?:(?<!{inside_word()})|{PREFIXED})"
    after = "" if UNSPACED.match(mention[-1]) or SYLLABLES.match(mention[-1]) else f"(?!{inside_word()})"
    return before + re.escape(mention) + after


def under_name(parts: Sequence[str], subject: Subject, other: Subject) -> list[str]:
    """The same cut text about somebody else.

    Args:
        parts: as ``by_name`` gives them.
        subject: whom the text is about.
        other: the stand-in, of the same kind.
    """
    replaced = []
    for number, part in enumerate(parts):
        mention = part.removeprefix(" ")
        space = part[: len(part) - len(mention)]
        replaced.append(space + subject.replaced(mention, other) if number % 2 else part)
    return replaced


def renamed(text: str, subject: Subject, other: Subject) -> str:
    """A text about somebody else."""
    return "".join(under_name(by_name(text, subject), subject, other))
