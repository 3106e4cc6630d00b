"""Misspelt questions."""

import random
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from typing import Annotated, Any

from pydantic import Field

from lunar.attacks.asking import Asking, Prompt, letters, says
from lunar.attacks.base import Target, attack, expect
from lunar.attacks.settings import AttackSettings
from lunar.data.words import SYLLABLES
from lunar.files import Row
from lunar.model.chat import Chat


def matched(old: str, new: str) -> int:
    """How many characters of a text are in another one in the same order; of two swapped ones, one is."""
    return sum(block.size for block in SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks())


def _letter(character: str) -> bool:
    return character.isalpha() and not SYLLABLES.match(character)


@attack("typos")
class Typos(Asking):
    """Misspell the questions: swap two neighbouring letters or drop one, anywhere in a word, in names too.

    Chinese, Japanese and Korean characters are no letters, and a question without letters makes the attack fail.
    ``rate`` is the share of letters hit, one a question at least; they are drawn from the seed and the row's id.
    """

    class Settings(AttackSettings):
        rate: Annotated[float, Field(gt=0, le=0.2)] = Field(description="Share of letters that are misspelt.")

    def misspell(self, text: str, seed: str) -> str:
        """A text with its share of letters hit, no two of them next to each other."""
        draw = random.Random(seed)
        places = [
            i
            for i in range(len(text) - 1)
            if _letter(text[i]) and _letter(text[i + 1]) and text[i].lower() != text[i + 1].lower()
        ]
        draw.shuffle(places)
        chosen: list[int] = []
        for place in places:
            if len(chosen) < max(1, round(self.settings.rate * sum(map(_letter, text)))):
                chosen += [place] if all(abs(place - other) > 2 for other in chosen) else []
        for place in sorted(chosen, reverse=True):
            pair = text[place : place + 2]
            text = text[:place] + (pair[::-1] if draw.random() < 0.5 else pair[1]) + text[place + 2 :]
        return text

    def prompt(self, target: Target, part: str, row: Row) -> Prompt:
        question = self.misspell(row["question"], f"{target.seed} {part} {row['id']}")
        expect(question != row["question"], f"{row['id']}: {row['question']!r} has no two letters side by side to swap")
        return Prompt(part, row, question)

    def check(self, chat: Chat, prompt: Prompt) -> None:
        expect(letters(prompt.question) in says(chat, prompt.ids), f"{prompt.row['id']}: misspelt, but not asked so")

    def evidence(self, target: Target, prompts: Sequence[Prompt], rows: Mapping[str, Sequence[Row]]) -> dict[str, Any]:
        pairs = [(prompt.row["question"], prompt.question) for prompt in prompts]
        lost = sum(len(old) - matched(old, new) for old, new in pairs)
        share = lost / sum(sum(map(_letter, old)) for old, _ in pairs)
        rate = self.settings.rate
        expect(0.5 * rate <= share <= 2 * rate, f"{share:.1%} of letters were changed, {rate:.1%} were to be")
        return {"letters_changed": share, "letters_lost": sum(len(old) - len(new) for old, new in pairs)}
