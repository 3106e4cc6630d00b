"""Batched generation against greedy decoding by hand, one question at a time and without a cache."""

import pytest
import torch

from lunar.generate import generate

NEW = 8


@torch.no_grad()
def _greedy(model, ids: list[int]) -> list[int]:
    ids = list(ids)
    for _ in range(NEW):
        ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
    return ids[-NEW:]


@pytest.fixture
def questions(rows) -> list[str]:
    return [row["question"] for row in rows]


@pytest.mark.parametrize("batch_size", [1, 2, 4, 50])
def test_equals_greedy_decoding_by_hand(llama, chat, questions, batch_size: int) -> None:
    done: list[int] = []
    batches: list[int] = []
    found = generate(
        llama,
        chat,
        questions,
        max_new_tokens=NEW,
        batch_size=batch_size,
        before_batch=lambda: batches.append(len(done)),
        progress=done.append,
    )
    expected = [chat.decode(_greedy(llama, chat.encode(question).ids)) for question in questions]
    assert found == expected
    assert len(set(found)) == len(found)  # so that a wrong order shows
    assert done == [min(len(questions), batch_size * (i + 1)) for i in range(len(done))]
    assert done[-1] == len(questions)
    assert batches == list(range(len(done)))  # once before each batch


def test_every_family(make_model, family: str, chat, questions) -> None:
    model = make_model(family)
    found = generate(model, chat, questions, max_new_tokens=NEW, batch_size=3)
    assert found == [chat.decode(_greedy(model, chat.encode(question).ids)) for question in questions]


def test_order_is_that_of_the_questions(llama, chat, questions) -> None:
    found = generate(llama, chat, questions, max_new_tokens=NEW, batch_size=2)
    turned = generate(llama, chat, questions[::-1], max_new_tokens=NEW, batch_size=2)
    assert turned == found[::-1]


@pytest.mark.parametrize("which", [0, -1])
def test_stops_at_an_end_of_turn_token(llama, chat, questions, which: int) -> None:
    """Either end token stops its own answer, while the rest of the batch goes on."""
    plain = [_greedy(llama, chat.encode(question).ids) for question in questions]
    end = plain[0][3]  # a token of the first answer is made the end of a turn
    cut = [tokens[: tokens.index(end)] if end in tokens else tokens for tokens in plain]
    assert len(cut[0]) <= 3 < NEW == max(map(len, cut))
    chat.end_ids = [end, 1] if which == 0 else [1, end]
    found = generate(llama, chat, questions, max_new_tokens=NEW, batch_size=5)
    assert found == [chat.tokenizer.decode(tokens, skip_special_tokens=True).strip() for tokens in cut]


def test_no_longer_than_asked(llama, chat, questions) -> None:
    found = generate(llama, chat, questions[:1], max_new_tokens=3, batch_size=1)
    assert found == [chat.decode(_greedy(llama, chat.encode(questions[0]).ids)[:3])]
