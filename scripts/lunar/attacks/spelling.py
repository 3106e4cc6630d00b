"""The subject's name in another spelling."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from lunar.attacks.asking import Asking, Prompt, letters, says
from lunar.attacks.base import Target, attack, expect
from lunar.attacks.settings import AttackSettings
from lunar.data.subjects import by_name, subject_of
from lunar.data.words import SYLLABLES
from lunar.files import Row
from lunar.model.chat import Chat

# How a name is written in Russian's letters.
RUSSIAN = {
    **{"shch": "щ", "kh": "х", "zh": "ж", "ts": "ц", "ch": "ч", "sh": "ш", "yu": "ю", "ya": "я", "ck": "к", "ph": "ф"},
    **{"th": "т", "qu": "кв", "a": "а", "b": "б", "c": "к", "d": "д", "e": "е", "f": "ф", "g": "г", "h": "х", "i": "и"},
    **{"j": "дж", "k": "к", "l": "л", "m": "м", "n": "н", "o": "о", "p": "п", "q": "к", "r": "р", "s": "с", "t": "т"},
    **{"u": "у", "v": "в", "w": "в", "x": "кс", "y": "й", "z": "з"},
}


def in_russian(name: str) -> str:
    """A name in Russian's letters, by sound as far as letters tell it; others stay."""
    found = re.sub("|".join(RUSSIAN), lambda match: RUSSIAN[match[0]], name.lower())
    return "".join(word[:1].upper() + word[1:] for word in re.split(r"(\W)", found))


SPELLINGS: dict[str, Callable[[str], str]] = {
    "russian": in_russian,
    "initial": lambda name: f"{name[0]}. {name.split()[-1]}" if " " in name and not SYLLABLES.search(name) else name,
}


@attack("spelling")
class Spelling(Asking):
    """Write the subject's name in another way: ``form`` is one of ``SPELLINGS``.

    Questions that do not give the name in a form that this changes are asked as they are.
    """

    class Settings(AttackSettings):
        form: Literal["russian", "initial"] = Field(
            description="How the subject's name is written: in Russian's letters, or with the first name's initial."
        )

    def spelt(self, row: Row) -> str:
        """The question with every mention of the row's subject in the other spelling."""
        subject = subject_of(row)
        if subject is None:
            return row["question"]
        parts = by_name(row["question"], subject)
        form = SPELLINGS[self.settings.form]
        for place in range(1, len(parts), 2):
            name = parts[place].strip()
            parts[place] = parts[place].replace(name, form(name))
        return "".join(parts)

    def prompt(self, target: Target, part: str, row: Row) -> Prompt:
        return Prompt(part, row, self.spelt(row))

    def alters(self, prompt: Prompt) -> bool:
        return prompt.question != prompt.row["question"]

    def check(self, chat: Chat, prompt: Prompt) -> None:
        expect(letters(prompt.question) in says(chat, prompt.ids), f"{prompt.row['id']}: respelt, but not asked so")

    def evidence(self, target: Target, prompts: Sequence[Prompt], rows: Mapping[str, Sequence[Row]]) -> dict[str, Any]:
        spelt = [prompt.row["id"] for prompt in prompts if prompt.part == "forget" and self.alters(prompt)]
        expect(bool(spelt), f"no forget question gives its subject (field `author` or `names`) as {self.settings.form}")
        return {"respelt": len(spelt)}
