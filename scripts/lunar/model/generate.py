"""Answers to questions, batched by length."""

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from lunar.errors import out_of_memory
from lunar.files import Row
from lunar.model.cache import common
from lunar.model.chat import Chat, Said, Turn, batches_by_length
from lunar.model.decoding import Decoding
from lunar.model.load import mixed_precision, rounded
from lunar.model.resume import Answers

ROUND = 4  # batches after which answers are kept; within a round, places of answers that ended are filled again


def prompt_ids(
    chat: Chat,
    questions: Sequence[str],
    prefills: Sequence[str] | None = None,
    turns: Sequence[Sequence[Turn]] | None = None,
) -> list[list[int]]:
    """Token ids of what a model is given to answer, one list a question; arguments as for ``generate``."""
    earlier = [()] * len(questions) if turns is None else turns
    if prefills is None:
        return [chat.encode(question, turns=before).ids for question, before in zip(questions, earlier, strict=True)]
    return [chat.begun(*each) for each in zip(questions, prefills, earlier, strict=True)]


def longer_answers(chat: Chat, rows: Sequence[Row], generation: Mapping[str, int]) -> tuple[int, int]:
    """How many gold answers cannot be given within the limit of new tokens, and which limit would be enough for all."""
    encoded = [chat.encode(row["question"], row["answer"]) for row in rows if row.get("answer")]
    lengths = [len(one.ids) - one.prompt_length for one in encoded]
    return sum(length > generation["max_new_tokens"] for length in lengths), max(lengths, default=0)


@torch.inference_mode()
def generate(
    model: Any,
    chat: Chat,
    questions: Sequence[str],
    *,
    max_new_tokens: int,
    batch_size: int,
    prefills: Sequence[str] | None = None,
    turns: Sequence[Sequence[Turn]] | None = None,
    temperature: float | None = None,
    before_batch: Callable[[], None] | None = None,
    before_pass: Callable[[list[int]], None] | None = None,
    kept: Answers | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> list[Said]:
    """The model's answer to each question, in the order of the questions; thoughts are taken off.

    Args:
        model: a causal language model.
        chat: its tokenizer and template.
        questions: plain questions.
        max_new_tokens: longest answer; generation stops earlier at the end-of-turn token.
        batch_size: questions a forward pass.
        prefills: what each answer is made to begin with; what is returned comes after it.
        turns: what was asked and answered before each question.
        temperature: sample at this temperature, from torch's global generator, instead of decoding greedily.
        before_batch: called before each batch's prompt is processed (steering arms its hooks here). The next pass is
            then that of the whole prompts.
        before_pass: called before each pass with the numbers of its rows' questions, in the order of the rows.
        kept: answers that a killed job had finished; they are not asked for again, and new ones are added.
        progress: called with the number of questions done.

    A batch that does not fit in memory is halved, and so are all after it, with a warning. With ``before_batch``, which
    counts batches, none is halved, since a pass that failed half way would spoil the count.
    """
    prompts = prompt_ids(chat, questions, prefills, turns)
    answers = [Said()] * len(prompts)
    order = [i for batch in batches_by_length([len(prompt) for prompt in prompts], batch_size) for i in batch]
    names = [f"{number} {hashlib.sha256(repr(prompt).encode()).hexdigest()}" for number, prompt in enumerate(prompts)]
    shared = common(prompts) if before_batch is None and temperature is None else 0
    done = 0
    # Rounds are made anew as they were, so only those before the first question without an answer are taken up.
    while kept is not None and done < len(order) and names[order[done]] in kept.texts:
        answers[order[done]] = Said.of(kept.texts[names[order[done]]])
        done += 1
    ends = set(chat.end_ids or ())
    decoding = Decoding(model, chat.tokenizer.pad_token_id, ends, max_new_tokens, temperature, before_batch)
    if before_pass is not None:
        decoding.before_pass = lambda places: before_pass([some[place] for place in places])
    with rounded(model), mixed_precision(model):
        while done < len(order):
            batches = ROUND if before_batch is None and temperature is None else 1
            if kept is not None:  # two rounds at least, so that a job that is interrupted has something to go on from
                batches = min(batches, max(1, len(order) // (2 * batch_size)))
            some = order[done : done + batches * batch_size]
            try:
                said = decoding.answers([prompts[i] for i in some], shared, batch_size)
            except Exception as error:
                if before_batch is not None or min(len(some), batch_size) == 1 or not out_of_memory(error):
                    raise
                said = None  # and on outside of this block: the error holds on to the memory
            if said is None:
                torch.cuda.empty_cache()
                tried, batch_size = min(len(some), batch_size), (min(len(some), batch_size) + 1) // 2
                logging.getLogger(__name__).warning(
                    "out of memory with %d questions at once; going on with %d", tried, batch_size
                )
                continue
            for i, tokens in zip(some, said, strict=True):
                answers[i] = chat.decode(tokens, begun=bool(prefills and prefills[i]))
            if kept is not None:
                kept.add({names[i]: answers[i].row() for i in some})
            done += len(some)
            progress(done)
    return answers
