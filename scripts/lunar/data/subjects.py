"""Whom a row is about, how a text mentions them, and the same text about somebody else.

A row names its subject in one of two fields: ``author``, the full name of a person, or ``names``, all names that stand
for it together, such as the two firms of a contract. A row with neither names nobody.
"""

import random
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lunar.errors import LunarError


class Person(NamedTuple):
    """Somebody who goes by the full name, by the first name or by the surname alone."""

    name: str

    def mentions(self) -> list[str]:
        """What a text may call the subject, in the order in which it is looked for."""
        own = self.name.split()
        return [" ".join(own), own[0], own[-1]]

    def replaced(self, mention: str, other: "Person") -> str:
        """A mention of this subject as one of ``other``."""
        own, (given, family) = self.name.split(), other.name.split()
        return mention.replace(own[0], given).replace(own[-1], family)

    def stand_in(self, names: Sequence[str], draw: random.Random) -> "Person":
        """Somebody invented; first name and surname are drawn apart."""
        given, family = draw.choice(names).split()[0], draw.choice(names).split()[-1]
        return Person(f"{given} {family}")

    def halves(self) -> dict[str, str]:
        """The two halves of the full name, by what an id calls them."""
        own = self.name.split()
        return {"surname": own[-1], "first-name": own[0]} if len(own) > 1 else {}

    def field(self) -> dict[str, Any]:
        """The field of a row about this subject."""
        return {"author": self.name}


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

    A mention is whole words, with the space before it, which many tokenizers make part of the word.
    """
    mentions = "|".join(map(re.escape, subject.mentions()))
    return re.split(rf"( ?(?<!\w)(?:{mentions})(?!\w))", text)


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
