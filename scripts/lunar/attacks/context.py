"""Questions about others, answered rightly, earlier in the conversation."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from lunar.attacks.asking import Asking, Prompt, letters, says
from lunar.attacks.base import Target, attack, expect, rouge1
from lunar.attacks.settings import AttackSettings
from lunar.data.rows import normalise
from lunar.data.subjects import subject_of
from lunar.errors import LunarError
from lunar.files import Row
from lunar.model.chat import Chat
from lunar.plan.declare import Count


@attack("context")
class Context(Asking):
    """Put questions about others, with right answers, as earlier turns of the conversation (in-context attack).

    Each question has different ``examples``: retained rows about as many other subjects as there are, drawn from the
    seed and the row's id. If questions are alike, a small model copies their answers (0.44 instead of 0.57).
    """

    class Settings(AttackSettings):
        examples: Count = Field(description="Number of answered questions about others that come first.")

    KEPT = 0.25  # SmolLM2-135M, whose fine-tuning had one turn a conversation, keeps about half

    def examples(self, target: Target, row: Row) -> list[Row]:
        """The rows that stand before a question.

        Raises:
            LunarError: there are too few.
        """
        count, subject = self.settings.examples, subject_of(row) or row["id"]
        about = [(subject_of(one) or one["id"], one) for one in target.rows["retain_all"] if one["id"] != row["id"]]
        pool = [(other, one) for other, one in about if other != subject]
        if len(pool) < count:
            raise LunarError(
                f"{row['id']}: {len(pool)} retained questions are about others, but examples is {count}; ask for fewer"
            )
        random.Random(f"{target.seed} {row['id']}").shuffle(pool)
        seen: Counter[str] = Counter()
        ranked = []
        for other, one in pool:
            ranked.append((seen[other], len(ranked), one))
            seen[other] += 1
        return [one for _, _, one in sorted(ranked, key=lambda entry: entry[:2])[:count]]

    def prompt(self, target: Target, part: str, row: Row) -> Prompt:
        shown = self.examples(target, row)
        return Prompt(part, row, row["question"], turns=[(one["question"], one["answer"]) for one in shown])

    def check(self, chat: Chat, prompt: Prompt) -> None:
        said, where = says(chat, prompt.ids), prompt.row["id"]
        expect(len(prompt.turns) == self.settings.examples, f"{where}: {len(prompt.turns)} examples stand before it")
        for text in (*(text for turn in prompt.turns for text in turn), prompt.question):
            _, found, said = said.partition(letters(text))  # in this order
            expect(bool(found), f"{where}: {text!r} is not in its place in the prompt")
        own = normalise(prompt.question) in [normalise(asked) for asked, _ in prompt.turns]
        expect(not own, f"{where}: the question itself is among the examples")

    def evidence(self, target: Target, prompts: Sequence[Prompt], rows: Mapping[str, Sequence[Row]]) -> dict[str, Any]:
        asked = [prompt for prompt in prompts if prompt.part == "forget"]
        # What a model would get that only repeated the examples.
        copied = [prompt.row | {"prediction": " ".join(answer for _, answer in prompt.turns)} for prompt in asked]
        return {"examples": self.settings.examples, "in_examples": rouge1(copied)}
