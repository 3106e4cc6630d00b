"""The blocks below all that trains, run once for each conversation.

Nothing below the first block that trains changes, so the stream that enters that block is the same in every epoch and
update. It is computed once, and each later pass starts there.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from lunar.model.chat import Encoded, batches_by_length, pad
from lunar.model.hooks import capture
from lunar.model.load import blocks, up_to
from lunar.model.train import plain_attention

CONVERSATIONS = 16  # a forward pass


def first_trained(model: Any) -> int:
    """The number of blocks that give the same for a conversation however long the rest of the model is trained.

    It is 0 if the embeddings are trained, or if those blocks draw dropout. It is 0 too if blocks above read keys and
    values of those below (Gemma 3n, Gemma 4), since a pass that starts above them lacks these.
    """
    decoder = model.get_decoder()
    config = decoder.config.to_dict()
    drops = model.training and any(value for key, value in config.items() if "dropout" in key or "pdrop" in key)
    if drops or config.get("num_kv_shared_layers"):
        return 0
    trained = [name.split(".") for name, parameter in decoder.named_parameters() if parameter.requires_grad]
    return min((int(name[1]) if name[0] == "layers" else 0 for name in trained), default=0)


@contextmanager
def starting_at(model: Any, first: int, stream: torch.Tensor) -> Iterator[None]:
    """Start passes at a block above the lowest one, with the kept stream that enters it.

    The decoder itself is unchanged, and so are masks, places and factors. Only the forward functions of the blocks
    below are replaced: they hand the stream on, and the last of them hands on the kept stream.
    """
    below = blocks(model)[:first]
    for block in below:
        block.forward = lambda states, *_, **__: states
    below[-1].forward = lambda *_, **__: stream
    try:
        yield
    finally:
        for block in below:
            del block.forward


class Lower:
    """What the blocks below the first one that trains give for conversations, each computed when it is first asked for.

    It holds for one model from the moment it is made. After a change of a weight below ``first`` make a new one.

    Attributes:
        first: number of the block at which passes start; 0 where nothing can be kept.
    """

    def __init__(self, model: Any, first: int | None = None) -> None:
        """``first``: the lowest block that is to change; unless stated, the lowest one that trains."""
        self._model = model
        self.first = first_trained(model) if first is None else first
        self._states: dict[tuple[int, ...], torch.Tensor] = {}

    def states(self, conversations: Sequence[Encoded]) -> list[torch.Tensor]:
        """The stream that enters block ``first``, for each conversation of shape (tokens, d_model).

        Only where ``first`` is not 0. They are in the dtype that the model gives, and in the machine's own memory where
        the model is on a GPU. Their precision is that in which this is called, so call it as training does
        (``lunar.model.train.autocast``).
        """
        keys = [tuple(one.ids) for one in conversations]
        missing = [key for key in dict.fromkeys(keys) if key not in self._states]
        for batch in batches_by_length([len(key) for key in missing], CONVERSATIONS):
            rows = [missing[i] for i in batch]
            # Nobody reads what stands at padded places.
            ids, mask = (part.to(self._model.device) for part in pad(rows, 0, "right"))
            last = {"last": blocks(self._model)[self.first - 1]}
            with (
                torch.no_grad(),
                plain_attention(self._model),
                up_to(self._model, self.first - 1),
                capture(last, {}) as (given, _),
            ):
                self._model.get_decoder()(input_ids=ids, attention_mask=mask, use_cache=False)
            for key, row in zip(rows, given["last"].cpu(), strict=True):
                self._states[key] = row[: len(key)].clone()
        return [self._states[key] for key in keys]

    @contextmanager
    def given(self, batch: Sequence[Encoded]) -> Iterator[None]:
        """Have passes over these conversations, padded on the right, start at block ``first`` inside the block."""
        if self.first == 0:
            yield
            return
        stream = torch.nn.utils.rnn.pad_sequence(self.states(batch), batch_first=True).to(self._model.device)
        with starting_at(self._model, self.first, stream):
            yield
