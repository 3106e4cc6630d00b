"""Decoding token by token, with drafts that are proven in one pass, and with places that are filled again."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from lunar.errors import LunarError
from lunar.model.cache import Rows, taken
from lunar.model.hooks import hooked

PART = 4  # once this part of a batch has ended, new questions take the places, or the others go on without them


@dataclass
class Answer:
    """An answer that is being written.

    Attributes:
        unread: tokens that the model has to read before it goes on; of one that ended, anything.
        draft: what the answer probably is, or nothing.
        said: its tokens so far.
        ended: whether there are no more.
    """

    unread: list[int]
    draft: list[int]
    said: list[int] = field(default_factory=list)
    ended: bool = False

    def add(self, tokens: Sequence[int], ends: Collection[int], limit: int) -> None:
        """Add what the model says next, up to what ends it: one of the tokens ``ends``, or the limit."""
        for token in tokens[: limit - len(self.said)]:
            self.said.append(token)
            if token in ends:
                break
        self.unread, self.ended = self.said[-1:], self.said[-1] in ends or len(self.said) == limit


@dataclass
class Decoding:
    """How answers are decoded.

    Attributes:
        model: a causal language model.
        pad_id: the token that pads.
        ends: tokens that end an answer.
        limit: tokens of an answer at most.
        temperature, before_batch: as for ``lunar.model.generate.generate``.
    """

    model: Any
    pad_id: int
    ends: Collection[int]
    limit: int
    temperature: float | None = None
    before_batch: Callable[[], None] | None = None

    def answers(
        self, prompts: Sequence[list[int]], drafts: Sequence[list[int]], shared: int, size: int
    ) -> list[list[int]]:
        """Tokens of the answers to some prompts, each up to the one that ends it.

        Args:
            prompts: tokens, of which the first ``shared`` are the same in all; they are read once.
            drafts: what each answer probably is, empty where that is not known.
            shared: as above; 0 where a hook has to see whole prompts.
            size: rows a pass at most.
        """
        every = [Answer(prompt[shared:], draft) for prompt, draft in zip(prompts, drafts, strict=True)]
        waiting, active, rows = list(every), [], Rows(0, 0)
        prefix = self._read_once(prompts[0][:shared]) if shared else None
        while waiting or active:
            ended = sum(answer.ended for answer in active)
            free = size - len(active) + ended
            if waiting and free * PART >= size:
                new, waiting = waiting[:free], waiting[free:]
                fresh = self._fresh(prefix, new)
                rows, active = self._left([(rows, active), (fresh, new)])
            elif ended == len(active) or not rows.aligned or (ended * PART >= len(active) and self.temperature is None):
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
        """Prompts, read, with the first token of each answer and what a draft adds to it."""
        if prefix is None:
            rows = Rows(len(new), self.limit)
        else:
            longest = max(len(answer.unread) + len(answer.draft) for answer in new)
            rows = taken([(prefix, [0] * len(new))], longest + self.limit)
        if self.before_batch is not None:
            self.before_batch()
        self._step(rows, new)
        return rows

    def _step(self, rows: Rows, active: Sequence[Answer]) -> None:
        """One pass: each answer goes on by one token, and by those of its draft that come out."""
        guesses = [self._guess(answer) for answer in active]
        tokens = [answer.unread + guess for answer, guess in zip(active, guesses, strict=True)]
        inputs = rows.read(tokens, self.pad_id, self.model.device)
        width = inputs["input_ids"].shape[1]
        stops = [row * width + rows.offsets[row] + len(read) for row, read in enumerate(tokens)]
        places = [
            place for stop, guess in zip(stops, guesses, strict=True) for place in range(stop - len(guess) - 1, stop)
        ]
        chosen = iter(self._choose(self._logits(inputs, places)))
        for row, (answer, guess) in enumerate(zip(active, guesses, strict=True)):
            found = [next(chosen) for _ in range(len(guess) + 1)]
            if answer.ended:
                continue
            right = next(
                (i for i, pair in enumerate(zip(found, guess, strict=False)) if pair[0] != pair[1]), len(guess)
            )
            rows.cut(row, len(guess) - right)
            answer.add(found[: right + 1], self.ends, self.limit)

    def _guess(self, answer: Answer) -> list[int]:
        """The rest of a draft as long as the answer follows it; none in a prompt's pass that hooks wait for."""
        said, draft = answer.said, answer.draft
        if answer.ended or draft[: len(said)] != said or (self.before_batch is not None and not said):
            return []
        return draft[len(said) : self.limit - 1]

    def _logits(self, inputs: Mapping[str, Any], places: Sequence[int]) -> torch.Tensor:
        """The model's logits at some places of a pass, counted row by row; float32 of shape (places, vocabulary).

        Raises:
            LunarError: the model's head is no module of its own.
        """
        at = torch.tensor(places, device=self.model.device)

        def select(module: Any, args: Any, kwargs: Any) -> Any:
            return (args[0].flatten(0, 1)[at][None], *args[1:]), kwargs

        with hooked(before=[(self.model.get_output_embeddings(), select)]):
            logits = self.model(**inputs).logits
        if logits.shape[:2] != (1, len(places)):
            raise LunarError(f"{type(self.model).__name__}: its head is no module that hooks reach")
        return logits[0].float()

    def _choose(self, logits: torch.Tensor) -> list[int]:
        """The next token after each place."""
        if self.temperature is None:
            return logits.argmax(-1).tolist()
        return torch.multinomial((logits / self.temperature).softmax(-1), 1)[:, 0].tolist()

    def _left(self, parts: Sequence[tuple[Rows, list[Answer]]]) -> tuple[Rows, list[Answer]]:
        """The answers of batches that have not ended, as one batch.

        Samples are drawn for all rows of a batch, so there they stay until all have ended.
        """
        parts = [(rows, active) for rows, active in parts if any(not answer.ended for answer in active)]
        if not parts:
            return Rows(0, 0), []
        stay = self.temperature is not None or not any(answer.ended for answer in parts[0][1])
        if len(parts) == 1 and parts[0][0].aligned and stay:
            return parts[0]
        chosen = [(rows, [i for i, answer in enumerate(active) if not answer.ended]) for rows, active in parts]
        left = [answer for _, active in parts for answer in active if not answer.ended]
        return taken(chosen, self.limit), left
