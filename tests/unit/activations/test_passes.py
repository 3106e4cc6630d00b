"""Batched passes: every conversation once, as if alone, and the model left as it was."""

from functools import partial
from typing import Any

import pytest
import torch

from lunar.activations.hooks import calls
from lunar.activations.passes import passes
from lunar.model.chat import Chat, Encoded
from lunar.model.hooks import capture
from lunar.model.load import blocks, down_proj


@pytest.fixture
def conversations(chat: Chat, rows: Any) -> list[Encoded]:
    return [chat.encode(row["question"], row["answer"]) for row in rows]


@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_each_conversation_reads_as_if_alone(llama: Any, conversations: list[Encoded], batch_size: int) -> None:
    watch = partial(capture, {"block": blocks(llama)[1]}, {"down": down_proj(llama, 2)})
    met = []
    for batch, (outputs, inputs) in passes(llama, conversations, watch, pad_id=1, batch_size=batch_size):
        assert len(batch) <= batch_size
        assert not outputs["block"].requires_grad
        for row, i in enumerate(batch):
            with torch.no_grad(), watch() as (expected, received):
                llama(torch.tensor([conversations[i].ids]))
            own = slice(len(conversations[i].ids))
            torch.testing.assert_close(outputs["block"][row, own], expected["block"][0], rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(inputs["down"][row, own], received["down"][0], rtol=1e-4, atol=1e-4)
        met += batch
    assert sorted(met) == list(range(len(conversations)))
    lengths = [len(conversations[i].ids) for i in met]
    assert lengths == sorted(lengths, reverse=True)


def test_blocks_above_are_not_run(llama: Any, conversations: list[Encoded]) -> None:
    every = list(blocks(llama))
    for last, run in ((0, 1), (1, 2), (None, 3)):
        for _, found in passes(llama, conversations[:1], partial(calls, every), pad_id=1, last=last):
            # The model is whole again while what was found is looked at.
            assert len(found) == run and list(blocks(llama)) == every


def test_no_gradients_outside_either(llama: Any, conversations: list[Encoded]) -> None:
    """The passes take no gradients; what is done with what they found may."""
    for _, (outputs, _) in passes(llama, conversations, partial(capture, {0: blocks(llama)[0]}, {}), pad_id=1):
        assert torch.is_grad_enabled()
        assert outputs[0].grad_fn is None


def test_mixed_precision_where_it_gains(llama: Any, conversations: list[Encoded], monkeypatch: Any) -> None:
    def read() -> torch.Tensor:
        watch = partial(capture, {}, {0: down_proj(llama, 1)})
        return next(iter(passes(llama, conversations, watch, pad_id=1)))[1][1][0]

    expected = read()
    monkeypatch.setattr("lunar.model.load.bfloat16_gains", lambda: True)
    assert (expected.dtype, read().dtype) == (torch.float32, torch.bfloat16)


def test_nothing_to_read(llama: Any) -> None:
    assert list(passes(llama, [], partial(calls, blocks(llama)), pad_id=1)) == []
