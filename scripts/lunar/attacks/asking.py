"""Attacks on what the model is asked: it and its weights stay as they are.

Each builds prompts, and checks that the model read just those, to the token, and that they are what was intended.
Their control: a model that knows still gives most of the forget answers, or the attack destroys the question instead.
"""

import unicodedata
from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from lunar.attacks.base import Attack, Attacked, Target, expect, rouge1
from lunar.files import Row
from lunar.metrics.text import by_chance
from lunar.model.chat import Chat, Turn
from lunar.model.generate import prompt_ids
from lunar.model.hooks import hooked


@dataclass
class Prompt:
    """One question as an attack puts it.

    Attributes:
        part: ``forget`` or ``retain``.
        row: the question's row in the data.
        question: what is asked.
        prefill: what the answer is made to begin with.
        turns: what was asked and answered before.
        plain, ids: token ids of the prompt without and with the attack.
    """

    part: str
    row: Row
    question: str
    prefill: str = ""
    turns: Sequence[Turn] = ()
    plain: list[int] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)


class Reading:
    """Counts the prompts that a model reads inside the block: token ids, without padding.

    ``arm`` is called before each batch; the first forward pass after it is the prompts'.

    Attributes:
        prompts: how often each was read.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._armed = False
        self.prompts: Counter[tuple[int, ...]] = Counter()

    def arm(self) -> None:
        """Announce that the next forward pass processes prompts."""
        self._armed = True

    def _read(self, module: Any, args: Any, kwargs: Mapping[str, Any]) -> None:
        if self._armed:
            self._armed = False
            ids, mask = kwargs["input_ids"], kwargs.get("attention_mask")  # a batch without padding comes without
            real = torch.ones_like(ids) if mask is None else mask
            self.prompts.update(tuple(row[kept.bool()].tolist()) for row, kept in zip(ids, real, strict=True))

    def __enter__(self) -> "Reading":
        self._hook = hooked(before=[(self._model, self._read)])
        self._hook.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._hook.__exit__(*exception)


def letters(text: str) -> str:
    """A text without white space, for comparing what tokens say with what they were to say.

    Some tokenizers read full-width characters as ASCII (NFKC), which is no other text.
    """
    return "".join(unicodedata.normalize("NFKC", text).split())


def says(chat: Chat, ids: Sequence[int]) -> str:
    """The letters of tokens, special ones included."""
    return letters(chat.tokenizer.decode(ids, clean_up_tokenization_spaces=False))


def ask(target: Target, chat: Chat, prompts: Sequence[Prompt], **options: Any) -> dict[str, list[Row]]:
    """Answers to prompts, which get their ``plain`` and ``ids``.

    Args:
        target: the model.
        chat: how questions are put.
        prompts: those of one part after those of the other.
        options: of ``lunar.model.generate.generate``.

    Returns:
        Rows by part, with the ``prefill`` where there is one.

    Raises:
        AttackFailed: what the model read is not these prompts.
    """
    prefills, turns = [prompt.prefill for prompt in prompts], [prompt.turns for prompt in prompts]
    plain = prompt_ids(target.chat, [prompt.row["question"] for prompt in prompts])
    attacked = prompt_ids(chat, [prompt.question for prompt in prompts], prefills, turns)
    parts: dict[str, list[Row]] = {}
    for prompt, prompt.plain, prompt.ids in zip(prompts, plain, attacked, strict=True):
        parts.setdefault(prompt.part, []).append(prompt.row | {"question": prompt.question})
    with Reading(target.model) as read:
        answers = target.answer(parts, chat=chat, prefills=prefills, turns=turns, before_batch=read.arm, **options)
    wanted = Counter(map(tuple, attacked))
    # Samples of one prompt read it once a batch.
    held = wanted.keys() == read.prompts.keys() if "temperature" in options else wanted == read.prompts
    expect(
        held,
        f"the model was to read {len(prompts)} prompts; it read {read.prompts.total()}, and "
        f"{(wanted - read.prompts).total()} of those not",
    )
    rows = [row for part in answers.values() for row in part]
    for prompt, row in zip(prompts, rows, strict=True):
        row |= {"prefill": prompt.prefill} if prompt.prefill else {}
    return answers


def lengths(prompts: Sequence[Prompt]) -> dict[str, dict[str, float]]:
    """Evidence of what was asked, by part: prompts, those that differ from the unattacked ones, mean tokens of both."""
    found = {}
    for part in dict.fromkeys(prompt.part for prompt in prompts):
        chosen = [prompt for prompt in prompts if prompt.part == part]
        found[part] = {
            "prompts": len(chosen),
            "altered": sum(prompt.ids != prompt.plain for prompt in chosen),
            "tokens_unattacked": sum(len(prompt.plain) for prompt in chosen) / len(chosen),
            "tokens": sum(len(prompt.ids) for prompt in chosen) / len(chosen),
        }
    return found


def unattacked(target: Target) -> Mapping[str, Sequence[Row]]:
    """The model's answers when left alone, asked for where they are not there yet (for a control)."""
    return target.unattacked or target.answer(target.asked())


class Asking(Attack):
    """An attack that asks each question once, in its own way."""

    # Share of the unattacked forget ROUGE-1 that a model that knows has to keep; the attacks that ask more of a model
    # leave 0.7 and more to SmolLM2-135M.
    KEPT = 0.4
    # By how much its answers have to fit their own questions better than the others, which share words by chance.
    OWN = 0.1

    @abstractmethod
    def prompt(self, target: Target, part: str, row: Row) -> Prompt:
        """How one row is asked."""

    def chat(self, target: Target) -> Chat:
        """How questions are put."""
        return target.chat

    def alters(self, prompt: Prompt) -> bool:
        """Whether the attack is to change this prompt."""
        return True

    def check(self, chat: Chat, prompt: Prompt) -> None:
        """Refuse a prompt whose tokens are not what was intended, by ``expect``."""

    def evidence(self, target: Target, prompts: Sequence[Prompt], rows: Mapping[str, Sequence[Row]]) -> dict[str, Any]:
        """What else shows that the attack happened."""
        return {}

    def run(self, target: Target) -> Attacked:
        return self.put(target, target.asked())

    def put(self, target: Target, asked: Mapping[str, Sequence[Row]]) -> Attacked:
        """Ask these rows under the attack, checks included."""
        chat = self.chat(target)
        prompts = [self.prompt(target, part, row) for part, rows in asked.items() for row in rows]
        rows = ask(target, chat, prompts)
        for prompt in prompts:
            where = f"the prompt of {prompt.row['id']}"
            meant = self.alters(prompt)
            expect((prompt.ids != prompt.plain) == meant, f"{where} was {'' if meant else 'not '}to differ")
            self.check(chat, prompt)
        return Attacked(rows, {"asked": lengths(prompts)} | self.evidence(target, prompts, rows))

    def control(self, target: Target) -> dict[str, Any]:
        target.unattacked = unattacked(target)
        found = self.run(target)
        before, after = self.before(target), rouge1(found.rows["forget"])
        others = by_chance(found.rows["forget"])
        expect(
            after >= max(self.KEPT * before, others + self.OWN),
            f"a model that knows has forget ROUGE-1 {after:.3f} under attack, {before:.3f} without, {others:.3f} on "
            f"other questions' answers; at least {self.KEPT:.0%} of the second and {self.OWN:g} more than the third "
            "were expected: the attack destroys the question",
        )
        return found.evidence | {"forget": {"unattacked": before, "attacked": after, "by_chance": others}}

    def before(self, target: Target) -> float:
        """What the model that knows has without the attack, and has to keep most of."""
        return rouge1(target.unattacked["forget"])
