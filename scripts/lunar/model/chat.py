"""Questions as the model reads them: the chat template, and which token belongs to what.

Prompt and answer are one text, as the template writes it, and are tokenised together. Where the prompt's tokens end,
the answer's begin: they are what the model generates there, given just these prompt tokens. Where a token would reach
over that place, a model that is given the prompt cannot write it. There the answer is tokenised by itself, as it stands
within a text (without the blank that some tokenizers put before one).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jinja2 import TemplateError

from lunar.errors import LunarError

# Stands in for a text to find where the template puts it: no template or system prompt holds this private character.
MARK = "\ue000"
# A question that shows whether a template prints questions as they are: long, with all that a template may change.
PROBE = " ".join(
    f"""Does Ann's "Café {number}" (<b>&</b> bar) in Łódź sell 12% more, or is it 东京's?""" for number in range(9)
)
# Tags around a thought, which is no part of the answer (Qwen3 and R1; Magistral; Command A; Seed; Kimi; and others).
THOUGHTS = {
    "<think>": "</think>",
    "<thinking>": "</thinking>",
    "<thought>": "</thought>",
    "<reasoning>": "</reasoning>",
    "[THINK]": "[/THINK]",
    "<|START_THINKING|>": "<|END_THINKING|>",
    "<seed:think>": "</seed:think>",
    "◁think▷": "◁/think▷",
}

Turn = tuple[str, str]  # a question and the answer to it, earlier in the conversation

# The template is two spans: what stands before the question is the same in every prompt, what stands after it has
# read the question, and the answer starts there.
SPANS = ("prefix", "question", "suffix", "answer")
PREFIX, QUESTION, SUFFIX, ANSWER = range(4)

Tokens = list[tuple[int, tuple[int, int]]]  # ids, each with the characters that it covers, from and to


@dataclass
class Encoded:
    """One conversation as tokens.

    Attributes:
        ids: token ids.
        spans: for each token ``PREFIX``, ``QUESTION``, ``SUFFIX`` or ``ANSWER``. The answer's span has all that follows
            the prompt: white space that the template writes around an answer, and the token that ends the turn.
        prompt_length: number of tokens up to where the model's answer starts.
        characters: for each token of question and answer which characters of them it covers, from and to; nothing,
            ``(0, 0)``, for those of the template.
    """

    ids: list[int]
    spans: list[int]
    prompt_length: int
    characters: list[tuple[int, int]] = field(default_factory=list)


class Said(str):
    """An answer's text.

    Attributes:
        cut: whether the limit of new tokens ended it, and no end of turn.
        thought: whether a thought was taken off it.
    """

    cut: bool = False
    thought: bool = False

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Said":
        """The answer of a row."""
        said = cls(row["prediction"])
        said.cut, said.thought = bool(row.get("cut")), bool(row.get("thought"))
        return said

    def row(self) -> dict[str, Any]:
        """As rows have it: ``prediction``; ``cut`` and ``thought`` only where they are true."""
        flags = {"cut": self.cut, "thought": self.thought}
        return {"prediction": str(self)} | {name: True for name, held in flags.items() if held}


def spoken(text: str) -> str:
    """A text without its thoughts: whole ones, one that does not end, and one that began before the text."""
    for start, end in THOUGHTS.items():
        text = re.sub(f"{re.escape(start)}.*?(?:{re.escape(end)}|\\Z)", "", text, flags=re.DOTALL).rpartition(end)[2]
    return text


def thinking(text: str) -> str:
    """The tag of the thought that a text begins and does not end; empty where there is none."""
    return next((start for start, end in THOUGHTS.items() if text.rfind(start) > text.rfind(end)), "")


@dataclass
class Chat:
    """A tokenizer with its chat template.

    Attributes:
        tokenizer: a fast Hugging Face tokenizer (character offsets are needed to tell spans apart).
        system_prompt: text of the system message; ``None`` leaves it to the template.
        prompt: plain text with ``{question}`` in it, which questions are put in instead of the template.
        end_ids: tokens that end an answer: first the one that the template ends a turn with, then the tokenizer's end
            of text and those of the model's generation settings.
        thinking: the tag of the thought that each prompt begins and leaves open, as of R1; empty where it begins none.

    Raises:
        LunarError: the tokenizer has no chat template, or no offsets; or the template refuses the system prompt, does
            not print question and answer as they are, or ends a turn with several tokens.
    """

    tokenizer: Any
    system_prompt: str | None = None
    prompt: str | None = None
    end_ids: list[int] = field(init=False)
    thinking: str = field(init=False)

    def __post_init__(self) -> None:
        if not self.tokenizer.chat_template:
            raise self._error("the tokenizer has no chat template; use a chat model or set one in its folder")
        if not self.tokenizer.is_fast:
            raise self._error("a fast tokenizer (tokenizer.json) is needed")
        asked, answered = self._probe()
        head, _, tail = answered.rpartition(MARK)
        self._lead, self._own_lead, self._extra = self._between(asked, head)
        self._end, self._closing = self._end_of_turn(head, tail)
        ends = [self._end, self.tokenizer.eos_token_id, *getattr(self.tokenizer, "generation_ends", ())]
        self.end_ids = [one for one in dict.fromkeys(ends) if one is not None]
        if not self.end_ids:
            raise self._error("neither the chat template nor the tokenizer has a token that ends an answer")
        self._begin: Tokens = []
        if self.prompt is not None:
            self._begin, self._lead, self._own_lead, self._extra = self._start(), self._blank(), "", ""
        # Searching for a question itself would go wrong where the template holds the same words ("assistant").
        self._after = self._put(MARK).rpartition(MARK)[2]
        self.thinking = thinking(self._after)

    def _error(self, text: str) -> LunarError:
        return LunarError(f"{self.tokenizer.name_or_path}: {text}")

    def _probe(self) -> tuple[str, str]:
        """The texts of a prompt and of a conversation, questions put as text, or else as the list of parts that some
        templates want.
        """
        faults = []
        for self._as_parts in (False, True):
            try:
                asked, answered = self._render(PROBE), self._render(PROBE, MARK)
            except (TemplateError, TypeError, ValueError, LookupError, AttributeError) as error:
                faults.append(
                    f"the chat template refuses the conversation ({error}); some have no place for a system message, "
                    "then set system_prompt to null"
                )
                continue
            found = {"question": min(asked.count(PROBE), answered.count(PROBE)), "answer": answered.count(MARK)}
            wrong = next((part for part, times in found.items() if times != 1), None)
            if wrong is None:
                break
            faults.append(
                f"the chat template does not print the {wrong} as it is, once: with the question {PROBE[:45]!r}... it "
                f"gives {answered[:160]!r}; mend the template"
            )
        else:
            raise self._error(faults[0])
        if self.prompt is None and self.system_prompt and self.system_prompt.strip() not in asked:
            raise self._error("the chat template leaves out the system message; set system_prompt to null")
        return asked, answered

    def _between(self, asked: str, head: str) -> tuple[str, str, str]:
        """What stands between a prompt and its answer.

        Args:
            asked: a prompt's text.
            head: the same conversation's text up to the answer.

        Returns:
            What the answer is to follow, what the template writes in its place, and what the prompt has that the
            template leaves out before an answer. The latter two are thoughts or white space.
        """
        shared = next((place for place in range(len(asked)) if asked[: place + 1] != head[: place + 1]), len(asked))
        extra, own, tag = asked[shared:], head[shared:], thinking(asked.rpartition(PROBE)[2])
        lead = (f"\n{THOUGHTS[tag]}\n\n" if tag else "") if extra else own
        if spoken(extra).strip() or spoken((tag if not extra else "") + own).strip():
            raise self._error(
                f"prompts end with {asked[-40:]!r}, but before an answer the chat template writes {head[-40:]!r}; "
                "let it write both alike, by {% if add_generation_prompt %}"
            )
        return lead, own, extra

    def _end_of_turn(self, head: str, tail: str) -> tuple[int | None, str]:
        """The token that ends a turn, and the template's text from an answer to it; None and "" where there is none."""
        end = tail.strip()
        if not end:
            return None, ""
        at = len(head) + len(MARK) + tail.index(end)
        token, (start, stop) = next(each for each in self._plain(head + MARK + tail) if each[1][1] > at)
        of_its_own = token in {*self.tokenizer.added_tokens_decoder, *self.tokenizer.all_special_ids}
        if start != at or not (of_its_own or stop == at + len(end)):
            raise self._error(
                f"the chat template ends a turn with {end!r}, which is no token of the tokenizer, so an answer would "
                f"end at each {self.tokenizer.decode([token])!r}. Add it to the tokenizer as a special token, or end "
                "turns with one that it has"
            )
        return token, (head + MARK + tail)[len(head) + len(MARK) : stop]

    def _start(self) -> Tokens:
        """The tokens that the tokenizer itself starts a text with; a template writes them instead."""
        ids, bare = (self.tokenizer("a", add_special_tokens=added)["input_ids"] for added in (True, False))
        count = next((place for place in range(len(ids)) if ids[place : place + len(bare)] == bare), 0)
        return [(token, (0, 0)) for token in ids[:count]]

    def _blank(self) -> str:
        """What stands between a plain prompt and its answer: a blank where the tokenizer writes one before each text
        (SentencePiece), and the prompt does not end with one.
        """
        written = self.tokenizer.convert_ids_to_tokens(self.tokenizer("a", add_special_tokens=False)["input_ids"][0])
        return " " if written.startswith("\u2581") and not self.prompt[-1:].isspace() else ""

    def _plain(self, text: str) -> Tokens:
        """A text's tokens."""
        tokens = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        return list(zip(tokens["input_ids"], tokens["offset_mapping"], strict=True))

    def _following(self, text: str, before: Tokens, more: str) -> Tokens:
        """The tokens of ``more`` where it follows ``text``, whose tokens are ``before``; characters are those of
        ``more``.
        """
        joint, count = self._plain(text + more), len(before)
        if [token for token, _ in joint[:count]] != [token for token, _ in before]:
            text, joint = MARK, self._plain(MARK + more)
            count = sum(end <= len(MARK) for _, (_, end) in joint)
        return [(token, (begin - len(text), end - len(text))) for token, (begin, end) in joint[count:]]

    def _put(self, question: str, turns: Sequence[Turn] = ()) -> str:
        """The text of a prompt."""
        if self.prompt is None:
            return self._render(question, turns=turns)
        earlier = [f"{self.prompt.replace('{question}', asked)} {replied}" for asked, replied in turns]
        return "\n\n".join([*earlier, self.prompt.replace("{question}", question)])

    def messages(self, question: str, answer: str | None = None, turns: Sequence[Turn] = ()) -> list[dict[str, Any]]:
        """A conversation as the template takes it."""
        said = [] if self.system_prompt is None else [("system", self.system_prompt)]
        for asked, replied in turns:
            said += [("user", asked), ("assistant", replied)]
        said += [("user", question), *([] if answer is None else [("assistant", answer)])]
        return [
            {"role": role, "content": [{"type": "text", "text": text}] if self._as_parts else text}
            for role, text in said
        ]

    def _render(self, question: str, answer: str | None = None, turns: Sequence[Turn] = ()) -> str:
        messages = self.messages(question, answer, turns)
        return self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=answer is None)

    def _asked(self, question: str, turns: Sequence[Turn]) -> str:
        """The text of a prompt, proven to end with the question as it is and what follows each question."""
        text = self._put(question, turns)
        if not text.endswith(question + self._after):
            raise self._error(f"the chat template alters the question {question!r}: the prompt ends {text[-80:]!r}")
        return text

    def _answered(self, asked: str, question: str, answer: str, turns: Sequence[Turn]) -> str:
        """What follows a prompt's text: the answer to the end of its turn, proven to be as the template writes it."""
        if self._end is not None and (ending := self._closing.strip()) in answer:
            raise self._error(f"the answer {answer!r} holds {ending!r}, which ends a turn")
        if self.prompt is None and answer:
            head = asked.removesuffix(self._extra) + self._own_lead
            written = self._render(question, answer, turns)
            if not written.startswith(head + answer + self._closing):
                raise self._error(f"the chat template alters the answer {answer!r}: it writes {written[len(head) :]!r}")
        return self._lead + answer + self._closing

    def text(self, question: str, answer: str | None = None, turns: Sequence[Turn] = ()) -> str:
        """What ``encode`` makes tokens of: the prompt and, if given, the answer up to the end of its turn.

        Raises:
            LunarError: as ``encode``.
        """
        question = question.strip()
        asked = self._asked(question, turns)
        return asked if answer is None else asked + self._answered(asked, question, answer.strip(), turns)

    def encode(self, question: str, answer: str | None = None, turns: Sequence[Turn] = ()) -> Encoded:
        """Tokens of a question, and of its answer if given, with each token's span.

        The prompt's tokens are the same with an answer and without. ``turns`` are questions and answers that stand
        before the question, as part of the prefix.

        Raises:
            LunarError: the template does not write question and answer as they are, or the answer holds the end of a
                turn.
        """
        question = question.strip()
        text = self._asked(question, turns)
        start, stop = len(text) - len(self._after) - len(question), len(text) - len(self._after)
        tokens = self._plain(text)
        prompt = [*self._begin, *tokens]
        spans = [PREFIX if end <= start else QUESTION if begin < stop else SUFFIX for _, (begin, end) in prompt]
        characters = [
            (max(begin - start, 0), end - start) if span == QUESTION else (0, 0)
            for span, (_, (begin, end)) in zip(spans, prompt, strict=True)
        ]
        ids = [token for token, _ in prompt]
        if answer is not None:
            answer = answer.strip()
            reply = self._following(text, tokens, self._answered(text, question, answer, turns))
            ids += [token for token, _ in reply] + ([] if self._end is not None else self.end_ids[:1])
            first, last = len(self._lead), len(self._lead) + len(answer)
            characters += [
                (max(begin - first, 0), min(end, last) - first) if begin < last and end > first else (0, 0)
                for _, (begin, end) in reply
            ]
            characters += [(0, 0)] * (len(ids) - len(characters))
            spans += [ANSWER] * (len(ids) - len(spans))
        return Encoded(ids, spans, len(prompt), characters)

    def begun(self, question: str, answer: str, turns: Sequence[Turn] = ()) -> list[int]:
        """Tokens of a prompt, and of what the answer to it begins with, if anything."""
        question, answer = question.strip(), answer.strip()
        text = self._asked(question, turns)
        tokens = self._plain(text)
        more = self._following(text, tokens, self._lead + answer) if answer else []
        return [token for token, _ in (*self._begin, *tokens, *more)]

    def decode(self, ids: Sequence[int], begun: bool = False) -> Said:
        """Generated ids as text, up to the end of the turn, without thoughts.

        Args:
            ids: what the model wrote.
            begun: whether it was given the answer's beginning, so that a thought which the prompt opens was closed.
        """
        end = next((place for place, token in enumerate(ids) if token in self.end_ids), None)
        text = self._decoded(ids[:end])
        within = (self.thinking if not begun else "") + text
        said = Said(spoken(within).strip())
        said.cut = end is None
        bare = within
        for tags in THOUGHTS.items():
            for tag in tags:
                bare = bare.replace(tag, "")
        said.thought = bare.strip() != said
        return said

    def _decoded(self, ids: Sequence[int]) -> str:
        """Tokens as text without special ones, but with the tags of thoughts, which may be special too."""
        added = self.tokenizer.get_added_vocab()
        tags = {added[tag]: tag for pair in THOUGHTS.items() for tag in pair if tag in added}
        text, start = "", 0
        for place, token in enumerate(ids):
            if token in tags:
                text += self.tokenizer.decode(ids[start:place], skip_special_tokens=True) + tags[token]
                start = place + 1
        return text + self.tokenizer.decode(ids[start:], skip_special_tokens=True)


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
