"""Decoding token by token, in batches whose places are filled again."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from lunar.model.cache import Rows, taken

PART = 4  # once this part of a batch has ended, new questions take the places, or the others go on without them


@dataclass
class Answer:
    """An answer that is being written.

    Attributes:
        place: its number among the answers that are asked for together.
        unread: tokens that the model has to read before it goes on; of one that ended, anything.
        said: its tokens so far.
        ended: whether there are no more.
    """

    place: int
    unread: list[int]
    said: list[int] = field(default_factory=list)
    ended: bool = False

    def add(self, token: int, ends: Collection[int], limit: int) -> None:
        """Add what the model says next; one of the tokens ``ends`` ends the answer, and so does the limit."""
        self.said.append(token)
        self.unread, self.ended = [token], token in ends or len(self.said) == limit


@dataclass
class Decoding:
    """How answers are decoded.

    Attributes:
        model: a causal language model.
        pad_id: the token that pads.
        ends: tokens that end an answer.
        limit: tokens of an answer at most.
        before_pass: called before each pass but that of the shared tokens, with the numbers of its rows' prompts.
        temperature, before_batch: as for ``lunar.model.generate.generate``.
    """

    model: Any
    pad_id: int
    ends: Collection[int]
    limit: int
    temperature: float | None = None
    before_batch: Callable[[], None] | None = None
    before_pass: Callable[[list[int]], None] | None = None

    def answers(self, prompts: Sequence[list[int]], shared: int, size: int) -> list[list[int]]:
        """Tokens of the answers to some prompts, each up to the one that ends it.

        Args:
            prompts: tokens, of which the first ``shared`` are the same in all; they are read once.
            shared: as above; 0 where a hook has to see whole prompts.
            size: rows a pass at most.
        """
        every = [Answer(place, prompt[shared:]) for place, prompt in enumerate(prompts)]
        self._odds = torch.empty(0)
        waiting, active, rows = list(every), [], Rows(0, 0)
        prefix = self._read_once(prompts[0][:shared]) if shared else None
        while waiting or active:
            ended = sum(answer.ended for answer in active)
            free = size - len(active) + ended
            if waiting and free * PART >= size:
                new, waiting = waiting[:free], waiting[free:]
                fresh = self._fresh(prefix, new)
                rows, active = self._left([(rows, active), (fresh, new)])
            elif ended == len(active) or not rows.aligned or ended * PART >= len(active):
                rows, active = self._left([(rows, active)])
            else:
                self._step(rows, active)
        return [answer.said for answer in every]

    def _read_once(self, tokens: list[int]) -> Rows:
        """What all prompts begin with."""
        rows = Rows(1, 0)
        self.model.get_decoder()(**rows.read([tokens], self.pad_id, self.model.device))
        return rows

    def _fresh(self, prefix: Rows | None, new: Sequence[Answer]) -> Rows:
        """Prompts, read, with the first token of each answer; of samples of one prompt it is read once."""
        if self.before_batch is not None:
            self.before_batch()
        if self.temperature is not None:
            prompts = list(dict.fromkeys(tuple(answer.unread) for answer in new))
            own = [prompts.index(tuple(answer.unread)) for answer in new]
            read = Rows(len(prompts), 0)
            self._add(new, self._logits(read, prompts)[own])
            return taken([(read, own)], self.limit)
        if prefix is None:
            rows = Rows(len(new), self.limit)
        else:
            longest = max(len(answer.unread) for answer in new)
            rows = taken([(prefix, [0] * len(new))], longest + self.limit)
        self._step(rows, new)
        return rows

    def _step(self, rows: Rows, active: Sequence[Answer]) -> None:
        """One pass: each answer goes on by one token."""
        if self.before_pass is not None:
            self.before_pass([answer.place for answer in active])
        self._add(active, self._logits(rows, [answer.unread for answer in active]))

    def _logits(self, rows: Rows, tokens: Sequence[Sequence[int]]) -> torch.Tensor:
        """What the model gives after further tokens of each row; float32 of shape (rows, vocabulary)."""
        inputs = rows.read(tokens, self.pad_id, self.model.device)
        lasts = torch.tensor(rows.lasts, device=self.model.device)[:, None]
        return self.model(**inputs, logits_to_keep=lasts).logits[:, 0].float()

    def _add(self, active: Sequence[Answer], logits: torch.Tensor) -> None:
        """Have each answer that has not ended go on, given its logits of shape (rows, vocabulary)."""
        chosen = self._choose(logits, [answer.place for answer in active])
        for answer, token in zip(active, chosen, strict=True):
            if not answer.ended:
                answer.add(token, self.ends, self.limit)

    def _choose(self, logits: torch.Tensor, places: Sequence[int]) -> list[int]:
        """The next token of each row, given its logits of shape (rows, vocabulary).

        Samples are drawn for those that ended too, so that no row's draws hang on how long the others are.
        """
        if self.temperature is None:
            return logits.argmax(-1).tolist()
        odds = (logits / self.temperature).softmax(-1)
        if len(self._odds):
            self._odds[places] = odds
        else:  # the first pass, of all
            self._odds = odds
        return torch.multinomial(self._odds, 1)[places, 0].tolist()

    def _left(self, parts: Sequence[tuple[Rows, list[Answer]]]) -> tuple[Rows, list[Answer]]:
        """The answers of batches that have not ended, as one batch."""
        parts = [(rows, active) for rows, active in parts if any(not answer.ended for answer in active)]
        if not parts:
            return Rows(0, 0), []
        if len(parts) == 1 and parts[0][0].aligned and not any(answer.ended for answer in parts[0][1]):
            return parts[0]
        chosen = [(rows, [i for i, answer in enumerate(active) if not answer.ended]) for rows, active in parts]
        left = [answer for _, active in parts for answer in active if not answer.ended]
        return taken(chosen, self.limit), left
