"""Answers whose beginning the attacker writes."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Self

from pydantic import Field, model_validator

from lunar.attacks.asking import Asking, Prompt, letters, says
from lunar.attacks.base import Attacked, Target, attack, expect, rouge1
from lunar.attacks.settings import AttackSettings
from lunar.data.words import UNSPACED, spans
from lunar.files import Row
from lunar.model.chat import Chat
from lunar.plan.declare import Count, Text


@attack("prefill")
class Prefill(Asking):
    """Begin the answer with a ``text``, or with the first ``words`` of the gold answer, but never with all of them.

    In scripts without blanks a character is a word.

    With gold words the score is about what the model adds: a row's ``answer`` is the rest of the gold answer, its
    ``prediction`` what follows the ``prefill``. What is compared with it is in the evidence: ``rest_unattacked``,
    ROUGE-1 of the unattacked answers on the same rest.
    """

    class Settings(AttackSettings):
        text: Text | None = Field(None, description="Text that each answer begins with.")
        words: Count | None = Field(None, description="Number of first words of the gold answer, instead of a text.")

        @model_validator(mode="after")
        def _one(self) -> Self:
            if (self.text is None) == (self.words is None):
                raise ValueError("text or words: exactly one of them says what each answer begins with")
            return self

    def parts(self, row: Row) -> tuple[str, str]:
        """What the answer begins with, and the gold answer that is to follow."""
        if self.settings.text is not None:
            return self.settings.text.strip(), row["answer"]
        answer = row["answer"]
        found = spans(answer) if UNSPACED.search(answer) else [one.span() for one in re.finditer(r"\S+", answer)]
        starts = [start for start, _ in found]
        cut = starts[min(self.settings.words, len(starts) - 1)] if starts else 0
        return " ".join(answer[:cut].split()), " ".join(answer[cut:].split())

    def prompt(self, target: Target, part: str, row: Row) -> Prompt:
        return Prompt(part, row, row["question"], prefill=self.parts(row)[0])

    def alters(self, prompt: Prompt) -> bool:
        return bool(self.parts(prompt.row)[0])  # an answer of one word leaves none to give

    def check(self, chat: Chat, prompt: Prompt) -> None:
        begun, meant = prompt.ids[len(prompt.plain) :], self.parts(prompt.row)[0]
        expect(prompt.ids[: len(prompt.plain)] == prompt.plain, f"{prompt.row['id']}: the prefill is not at the end")
        expect(
            says(chat, begun).endswith(letters(meant)),  # what the template writes before an answer may stand before
            f"{prompt.row['id']}: the answer begins with {chat.tokenizer.decode(begun)!r}, not {meant!r}",
        )

    def run(self, target: Target) -> Attacked:
        found = super().run(target)
        for part, rows in target.asked().items():
            for row, asked in zip(found.rows[part], rows, strict=True):
                row["answer"] = self.parts(asked)[1]
                if self.settings.words:
                    row.pop("other_answers", None)  # which need not begin as the gold answer does
        return found

    def evidence(self, target: Target, prompts: Sequence[Prompt], rows: Mapping[str, Sequence[Row]]) -> dict[str, Any]:
        expect(any(map(self.alters, prompts)), "no answer could be begun")
        return {"rest_unattacked": {part: self.rest(target, part) for part in rows}}

    def rest(self, target: Target, part: str) -> float:
        """ROUGE-1 of the unattacked answers on what the attack leaves to say."""
        rests = {row["id"]: self.parts(row)[1] for row in target.asked()[part]}
        alone = [row for row in target.unattacked[part] if row["id"] in rests]
        if self.settings.text is not None:
            return rouge1(alone)
        return rouge1([row | {"answer": rests[row["id"]], "other_answers": []} for row in alone])

    def before(self, target: Target) -> float:
        return self.rest(target, "forget")
