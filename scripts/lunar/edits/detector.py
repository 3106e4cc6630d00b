"""What an edit's detector reads in each token of an example."""

from typing import Any

import torch

from lunar.edits.edit import Factors, block_of
from lunar.model.arrival import arrival
from lunar.model.chat import PREFIX, SPANS, Chat, Encoded
from lunar.model.hooks import capture
from lunar.model.load import down_proj


@torch.inference_mode()
def detected(model: Any, encoded: Encoded, name: str, factors: Factors) -> list[float]:
    """The detector's score ``v . h`` of every token, h being what the edited ``down_proj`` receives.

    Behind a norm h is divided by the length of what ``down_proj`` gives, as in the solve.

    Args:
        model: before the edit; only its decoder runs.
        encoded: one conversation.
        name: the edited module, as edits name it.
        factors: its edit; the detector is the first column of its right factor, ``(d_ff, k)``.
    """
    way, module = arrival(model, block_of(name)), down_proj(model, block_of(name))
    with capture({name: module}, {name: module}) as (given, received):
        model.get_decoder()(input_ids=torch.tensor([encoded.ids], device=model.device), use_cache=False)
    scores = received[name][0].float().cpu() @ factors.right[:, 0].float()
    return (scores if way.weight is None else scores / way.lengths(given[name][0]).cpu()).tolist()


def scored(model: Any, chat: Chat, question: str, answer: str, name: str, factors: Factors) -> list[dict[str, Any]]:
    """Tokens of an example in order, each with its ``text``, ``span`` and ``score``.

    What stands before the question is left out: it is the same in every example.
    """
    encoded = chat.encode(question, answer)
    scores = detected(model, encoded, name, factors)
    return [
        {"text": chat.tokenizer.decode([token]), "span": SPANS[span], "score": score}
        for token, span, score in zip(encoded.ids, encoded.spans, scores, strict=True)
        if span != PREFIX
    ]
