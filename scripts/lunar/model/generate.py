"""Generation, batched by length."""

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicLayer

from lunar.errors import out_of_memory
from lunar.files import Row
from lunar.model.chat import Chat, Said, Turn, batches_by_length, pad
from lunar.model.load import mixed_precision, rounded
from lunar.model.resume import Answers


class PreallocatedCache(DynamicLayer):
    """Keys and values of one block, in tensors with room for the whole answer, in the precision attention reads them.

    The library's own cache is copied whole for every token, and converted under mixed precision: 10.9 s instead of
    13.4 s for 100 questions (one core each of two busy ones), the same answers.
    """

    room: int

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any) -> Any:
        """Append the new positions' states, shape (batch, heads, positions, width); gives those of all so far."""
        if not self.is_initialized:
            self.length, self.is_initialized = 0, True
            shape = (*key_states.shape[:2], key_states.shape[2] + self.room)
            self.dtype, self.device = value_states.dtype, value_states.device
            self.all_keys = value_states.new_empty(*shape, key_states.shape[3])
            self.all_values = value_states.new_empty(*shape, value_states.shape[3])
        start, self.length = self.length, self.length + key_states.shape[2]
        self.all_keys[:, :, start : self.length] = key_states
        self.all_values[:, :, start : self.length] = value_states
        self.keys, self.values = self.all_keys[:, :, : self.length], self.all_values[:, :, : self.length]
        return self.keys, self.values


def cache(room: int) -> Cache:
    """A cache of all blocks with room for so many tokens after the prompt."""
    return Cache(layer_class_to_replicate=type("Layer", (PreallocatedCache,), {"room": room}))


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
        before_batch: called before each batch's prompt is processed (steering arms its hooks here).
        kept: answers that a killed job had finished; they are not asked for again, and new ones are added.
        progress: called with the number of questions done.

    A batch that does not fit in memory is halved, and so are all after it, with a warning; not where ``before_batch``
    counts batches, since a forward pass that failed half way would spoil the count.
    """
    prompts = prompt_ids(chat, questions, prefills, turns)
    answers = [Said()] * len(prompts)
    order = [i for batch in batches_by_length([len(prompt) for prompt in prompts], batch_size) for i in batch]
    names = [f"{number} {hashlib.sha256(repr(prompt).encode()).hexdigest()}" for number, prompt in enumerate(prompts)]
    done = 0
    # Batches are made anew as they were, so only those before the first question without an answer are taken up.
    while kept is not None and done < len(order) and names[order[done]] in kept.texts:
        answers[order[done]] = Said.of(kept.texts[names[order[done]]])
        done += 1
    with rounded(model), mixed_precision(model):
        while done < len(order):
            batch = order[done : done + batch_size]
            ids, mask = pad([prompts[i] for i in batch], chat.tokenizer.pad_token_id, "left")
            if before_batch is not None:
                before_batch()
            try:
                output = model.generate(
                    input_ids=ids.to(model.device),
                    attention_mask=mask.to(model.device),
                    max_new_tokens=max_new_tokens,
                    past_key_values=cache(max_new_tokens),
                    do_sample=temperature is not None,
                    temperature=temperature,
                    top_k=0 if temperature is not None else None,
                    eos_token_id=chat.end_ids,
                    pad_token_id=chat.tokenizer.pad_token_id,
                )
            except Exception as error:
                if before_batch is not None or len(batch) == 1 or not out_of_memory(error):
                    raise
                output = None  # and on outside of this block: the error holds on to the memory
            if output is None:
                torch.cuda.empty_cache()
                batch_size = (len(batch) + 1) // 2
                logging.getLogger(__name__).warning(
                    "out of memory with %d questions at once; going on with %d", len(batch), batch_size
                )
                continue
            for i, tokens in zip(batch, output[:, ids.shape[1] :].tolist(), strict=True):
                answers[i] = chat.decode(tokens, begun=bool(prefills and prefills[i]))
            if kept is not None:
                kept.add({names[i]: answers[i].row() for i in batch})
            done += len(batch)
            progress(done)
    return answers
