"""Questions as the model reads them: the chat template, and which token belongs to what."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jinja2 import TemplateError

from lunar.errors import LunarError

# Stands in for a text to find where the template puts it: no template or system prompt holds this private character.
MARK = "\ue000"

Turn = tuple[str, str]  # a question and the answer to it, earlier in the conversation

# The template is two spans: what stands before the question is the same in every prompt, what stands after it has
# read the question, and the answer starts there.
SPANS = ("prefix", "question", "suffix", "answer")
PREFIX, QUESTION, SUFFIX, ANSWER = range(4)


@dataclass
class Encoded:
    """One conversation as tokens.

    Attributes:
        ids: token ids.
        spans: for each token ``PREFIX``, ``QUESTION``, ``SUFFIX`` or ``ANSWER``, the end-of-turn token included.
        prompt_length: number of tokens up to where the model's answer starts.
        characters: for each token of question and answer which characters of them it covers, from and to; nothing,
            ``(0, 0)``, for those of the template.
    """

    ids: list[int]
    spans: list[int]
    prompt_length: int
    characters: list[tuple[int, int]] = field(default_factory=list)


@dataclass
class Chat:
    """A tokenizer with its chat template.

    Attributes:
        tokenizer: a fast Hugging Face tokenizer (character offsets are needed to tell spans apart).
        system_prompt: text of the system message; ``None`` leaves it to the template.
        prompt: plain text with ``{question}`` in it, which questions are put in instead of the template.

    Raises:
        LunarError: the tokenizer has no chat template, or no offsets, or the template refuses the system prompt.
    """

    tokenizer: Any
    system_prompt: str | None = None
    prompt: str | None = None
    end_ids: list[int] = field(init=False)

    def __post_init__(self) -> None:
        name = self.tokenizer.name_or_path
        if not self.tokenizer.chat_template:
            raise LunarError(f"{name}: the tokenizer has no chat template; use a chat model or set one in its folder")
        if not self.tokenizer.is_fast:
            raise LunarError(f"{name}: a fast tokenizer (tokenizer.json) is needed")
        try:
            tail = self._render("Q", MARK).rpartition(MARK)[2].strip()
        except TemplateError as error:
            raise LunarError(
                f"{name}: the chat template refuses the conversation ({error}); some have no place for a system "
                "message, then set system_prompt to null"
            ) from error
        end = self.tokenizer(tail, add_special_tokens=False)["input_ids"][:1] if tail else []
        self.end_ids = [*dict.fromkeys([*end, self.tokenizer.eos_token_id])]
        # Searching for a question itself would go wrong where the template holds the same words ("assistant").
        self._after = self._put(MARK).rpartition(MARK)[2]

    def _put(self, question: str, turns: Sequence[Turn] = ()) -> str:
        """The text of a prompt."""
        if self.prompt is None:
            return self._render(question, turns=turns)
        earlier = [f"{self.prompt.replace('{question}', asked)} {replied}" for asked, replied in turns]
        return "\n\n".join([*earlier, self.prompt.replace("{question}", question)])

    def _render(self, question: str, answer: str | None = None, turns: Sequence[Turn] = ()) -> str:
        messages = []
        if self.system_prompt is not None:
            messages.append({"role": "system", "content": self.system_prompt})
        for asked, replied in turns:
            messages += [{"role": "user", "content": asked}, {"role": "assistant", "content": replied}]
        messages.append({"role": "user", "content": question})
        if answer is not None:
            messages.append({"role": "assistant", "content": answer})
        return self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=answer is None)

    def encode(self, question: str, answer: str | None = None, turns: Sequence[Turn] = ()) -> Encoded:
        """Tokens of a question, and of its answer if given, with each token's span.

        Prompt and answer are tokenised apart, as they are when the model generates the answer itself. ``turns`` are
        questions and answers that stand before the question, as part of the prefix.
        """
        question = question.strip()
        text = self._put(question, turns)
        start, stop = len(text) - len(self._after) - len(question), len(text) - len(self._after)
        # A template writes the tokens that start a text itself; around plain text the tokenizer is to add them.
        tokens = self.tokenizer(text, add_special_tokens=self.prompt is not None, return_offsets_mapping=True)
        ids = list(tokens["input_ids"])
        spans = [
            PREFIX if end <= start else QUESTION if begin < stop else SUFFIX for begin, end in tokens["offset_mapping"]
        ]
        characters = [
            (max(begin - start, 0), end - start) if span == QUESTION else (0, 0)
            for span, (begin, end) in zip(spans, tokens["offset_mapping"], strict=True)
        ]
        length = len(ids)
        if answer is not None:
            reply = self.tokenizer(answer.strip(), add_special_tokens=False, return_offsets_mapping=True)
            end = self.end_ids[:1]
            ids += reply["input_ids"] + end
            characters += [*map(tuple, reply["offset_mapping"]), *[(0, 0)] * len(end)]
            spans += [ANSWER] * (len(ids) - length)
        return Encoded(ids, spans, length, characters)

    def decode(self, ids: Sequence[int]) -> str:
        """Generated ids as text, up to the end of the turn."""
        for position, token in enumerate(ids):
            if token in self.end_ids:
                ids = ids[:position]
                break
        return self.tokenizer.decode(ids, skip_special_tokens=True).strip()


def pad(sequences: Sequence[Sequence[int]], value: int, side: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Stack sequences of different lengths.

    Args:
        sequences: token ids, or any integers.
        value: what to pad with.
        side: ``left`` (for generation) or ``right``.

    Returns:
        ids and mask, both int64 of shape (sequences, longest); the mask is 1 on real tokens.
    """
    longest = max(map(len, sequences))
    ids = torch.full((len(sequences), longest), value, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for i, sequence in enumerate(sequences):
        where = slice(longest - len(sequence), longest) if side == "left" else slice(0, len(sequence))
        ids[i, where] = torch.tensor(sequence, dtype=torch.long)
        mask[i, where] = 1
    return ids, mask


def batches_by_length(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Indices grouped into batches of at most ``size`` with little padding, longest first.

    The longest come first so that a batch that does not fit in memory fails at once.
    """
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    return [order[i : i + size] for i in range(0, len(order), size)]
