"""Greedy generation, batched by length."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from lunar.chat import Chat, batches_by_length, pad
from lunar.models import mixed_precision


@torch.inference_mode()
def generate(
    model: Any,
    chat: Chat,
    questions: Sequence[str],
    *,
    max_new_tokens: int,
    batch_size: int,
    before_batch: Callable[[], None] = lambda: None,
    progress: Callable[[int], None] = lambda done: None,
) -> list[str]:
    """The model's greedy answer to each question, in the order of the questions.

    Args:
        model: a causal language model.
        chat: its tokenizer and template.
        questions: plain questions.
        max_new_tokens: longest answer; generation stops earlier at the end-of-turn token.
        batch_size: questions a forward pass.
        before_batch: called before each batch's prompt is processed (steering arms its hooks here).
        progress: called with the number of questions done.
    """
    prompts = [chat.encode(question).ids for question in questions]
    answers = [""] * len(prompts)
    done = 0
    for batch in batches_by_length([len(prompt) for prompt in prompts], batch_size):
        ids, mask = pad([prompts[i] for i in batch], chat.tokenizer.pad_token_id, "left")
        before_batch()
        with mixed_precision(model):
            output = model.generate(
                input_ids=ids.to(model.device),
                attention_mask=mask.to(model.device),
                max_new_tokens=max_new_tokens,
                do_sample=False,
                eos_token_id=chat.end_ids,
                pad_token_id=chat.tokenizer.pad_token_id,
            )
        for i, tokens in zip(batch, output[:, ids.shape[1] :].tolist(), strict=True):
            answers[i] = chat.decode(tokens)
        done += len(batch)
        progress(done)
    return answers
