"""What a model has read: keys and values of rows that grow by tokens and move between batches."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicLayer

from lunar.model.chat import pad


class PreallocatedCache(DynamicLayer):
    """Keys and values of one block, in tensors with room for the whole answer, in the precision attention reads them.

    The library's cache is copied whole for every token, and converted under mixed precision. This one takes 10.9 s
    instead of 13.4 s for 100 questions (one core each of two busy ones), with the same answers.
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
    """A cache of all blocks with room for so many tokens after those of the first pass."""
    return Cache(layer_class_to_replicate=type("Layer", (PreallocatedCache,), {"room": room}))


class Rows:
    """Rows of tokens that a model has read, of different lengths.

    Before each pass all rows end in the last column, and what stands before a shorter one is masked. So a row has no
    gap, and an attention window that counts columns counts tokens.

    Attributes:
        lengths: tokens of each row that count.
        offsets: where each row's tokens began in the last pass.
        lasts: where the last of them stood.
        cache: their keys and values.
    """

    def __init__(self, rows: int, room: int) -> None:
        """
        Args:
            rows: how many; they have no tokens yet.
            room: tokens that may follow those of the first pass.
        """
        self.lengths = [0] * rows
        self.offsets = [0] * rows
        self.lasts = [0] * rows
        self.cache = cache(room)
        self._columns = 0
        self._ends = [0] * rows  # the column after a row's last token

    def read(self, tokens: Sequence[Sequence[int]], pad_id: int, device: Any) -> dict[str, Any]:
        """The arguments of a forward pass in which each row goes on with its tokens, of which there is at least one.

        Tokens of the first pass are padded on the left, later ones on the right. The caller makes the pass.
        """
        ids, mask = pad(tokens, pad_id, "right" if self._columns else "left")
        lengths = torch.tensor(self.lengths)[:, None]
        before = (torch.arange(self._columns) >= self._columns - lengths).long()
        positions = lengths + (mask.cumsum(1) - 1).clamp_min(0)
        self.offsets = [0 if self._columns else ids.shape[1] - len(row) for row in tokens]
        self.lasts = [start + len(row) - 1 for start, row in zip(self.offsets, tokens, strict=True)]
        self._ends = [self._columns + last + 1 for last in self.lasts]
        self.lengths = [length + len(row) for length, row in zip(self.lengths, tokens, strict=True)]
        self._columns += ids.shape[1]
        return {
            "input_ids": ids.to(device),
            "attention_mask": torch.cat([before, mask], 1).to(device),
            "position_ids": positions.to(device),
            "past_key_values": self.cache,
            "use_cache": True,
        }

    @property
    def aligned(self) -> bool:
        """Whether all rows end in the last column, as they have to before the next pass."""
        return all(end == self._columns for end in self._ends)


def taken(parts: Sequence[tuple[Rows, Sequence[int]]], room: int) -> Rows:
    """Rows of one or several batches as one batch, aligned; a row may be taken several times.

    Args:
        parts: batches that one model has read, each with the numbers of its rows.
        room: tokens that may follow.
    """
    parts = [(batch, chosen) for batch, chosen in parts if len(chosen)]
    found = Rows(sum(len(chosen) for _, chosen in parts), room)
    found.lengths = [batch.lengths[row] for batch, chosen in parts for row in chosen]
    found._columns = columns = max(found.lengths)
    found._ends = [columns] * len(found.lengths)
    places = []
    for batch, chosen in parts:
        ends = torch.tensor([batch._ends[row] for row in chosen])[:, None]
        places.append((torch.tensor(chosen)[:, None], (ends - columns + torch.arange(columns)).clamp_min(0)))
    for number, layer in enumerate(parts[0][0].cache.layers):
        into = found.cache.layer_class_to_replicate()
        found.cache.layers.append(into)
        if not layer.is_initialized:  # a block that is left out of the model has read nothing
            continue
        into.dtype, into.device, into.is_initialized, into.length = layer.dtype, layer.device, True, columns
        for name in ("keys", "values"):
            _, heads, _, width = getattr(layer, name).shape
            whole = getattr(layer, name).new_empty(len(found.lengths), heads, columns + room, width)
            start = 0
            for (batch, _), (rows, from_columns) in zip(parts, places, strict=True):
                held = getattr(batch.cache.layers[number], name)
                stop = start + len(rows)
                moved = held[rows.to(held.device), :, from_columns.to(held.device)]
                whole[start:stop, :, :columns] = moved.transpose(1, 2)
                start = stop
            setattr(into, f"all_{name}", whole)
            setattr(into, name, whole[:, :, :columns])
    return found


def common(prompts: Sequence[Sequence[int]]) -> int:
    """How many tokens all prompts begin with alike; one is left of each."""
    first, last = (min(prompts), max(prompts)) if prompts else ((), ())
    same = next((place for place, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), len(first))
    return max(0, min(same, len(first) - 1)) if len(prompts) > 1 else 0
