"""Batched forward passes over conversations: the decoder alone, without logits and without gradients."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import torch

from lunar.model.chat import Encoded, batches_by_length, pad
from lunar.model.load import mixed_precision, up_to

CONVERSATIONS = 16  # a forward pass

Found = TypeVar("Found")


@torch.no_grad()
def passes(
    model: Any,
    conversations: Sequence[Encoded],
    watch: Callable[[], AbstractContextManager[Found]],
    *,
    pad_id: int,
    batch_size: int = CONVERSATIONS,
    last: int | None = None,
) -> Iterator[tuple[list[int], Found]]:
    """One forward pass a batch, the longest conversations first.

    Conversations are padded on the right, so token t of a conversation stands at place t of its row.

    Args:
        model: a causal language model.
        conversations: encoded questions, with answers where answer tokens matter.
        watch: makes the context that each pass runs in, such as ``lunar.activations.hooks.capture`` with its modules.
        pad_id: token id to pad with.
        batch_size: conversations a pass.
        last: the block above which none is run; None runs all.

    Yields:
        The numbers of the batch's conversations, in the order of its rows; what the context gave.
    """
    for batch in batches_by_length([len(one.ids) for one in conversations], batch_size):
        ids, mask = (part.to(model.device) for part in pad([conversations[i].ids for i in batch], pad_id, "right"))
        with mixed_precision(model), up_to(model, last), watch() as found:
            model.get_decoder()(input_ids=ids, attention_mask=mask, use_cache=False)
        yield batch, found
