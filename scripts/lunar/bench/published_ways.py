"""The ways of the published codes: one prompt at a time, and training that caches nothing."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from lunar.bench.random_inputs import Numbers
from lunar.bench.size import How
from lunar.bench.timing import timed
from lunar.edits.descent import seconds_of_a_forward_step
from lunar.model.chat import Encoded


@torch.no_grad()
def pass_one_by_one(model: Any, prompts: Sequence[Encoded]) -> torch.Tensor:
    """Means of the residual stream at the last token: a forward pass a prompt, all hidden states and all logits kept.

    Returns:
        float64 of shape (blocks, d_model), as ``mean.residual.last`` of ``lunar.activations.statistics``, but for the
        last block, whose state transformers gives after the final norm.
    """
    total: Any = 0
    for one in prompts:
        ids = torch.tensor([one.ids], device=model.device)
        states = model(input_ids=ids, output_hidden_states=True).hidden_states[1:]
        total = total + torch.stack([state[0, -1] for state in states]).double().cpu()
    return total / len(prompts)


@torch.no_grad()
def answer_one_by_one(
    model: Any, prompts: Sequence[Encoded], new_tokens: int, before: Callable[[], None] = lambda: None
) -> list[str]:
    """Answers as ``Numbers`` writes them: one prompt at a time, greedily, with the library's own cache.

    ``before`` is called before each prompt.
    """
    answers = []
    for one in prompts:
        ids = torch.tensor([one.ids], device=model.device)
        settings = {"max_new_tokens": new_tokens, "do_sample": False, "pad_token_id": 0}
        before()
        output = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **settings)
        answers.append(Numbers().decode(output[0, len(one.ids) :].tolist()))
    return answers


def forward_steps(model: Any, how: How, prompts: Sequence[Encoded]) -> tuple[float, int]:
    """Seconds of one step of SGD that caches nothing, and its peak memory."""
    count = how["published"]["steps"] + 1  # the first is a warm-up
    some = [prompts[i % len(prompts)] for i in range(count)]
    moved = [i % 2 == 0 for i in range(count)]
    vector, layer = torch.ones(how["model"]["hidden_size"]), how["candidates"][0]
    step, _, peak = timed(
        "training step",
        "lengths",
        lambda: seconds_of_a_forward_step(model, layer, vector, some, moved),
        model.device,
    )
    return step, peak
