"""Batched generation against greedy decoding by hand, one question at a time and without a cache."""

import pytest
import torch

from lunar.model.generate import generate

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


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory"),
    MemoryError(),
]


def _limited(model, monkeypatch, fits: int, error: Exception) -> list[int]:
    """Have the model's generation fail on more than so many questions; gives the sizes that were tried."""
    tried: list[int] = []
    real = model.generate

    def limited(input_ids: torch.Tensor, **options):
        tried.append(len(input_ids))
        if len(input_ids) > fits:
            raise error
        return real(input_ids=input_ids, **options)

    monkeypatch.setattr(model, "generate", limited)
    return tried


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda error: type(error).__name__)
def test_a_batch_that_does_not_fit_is_halved(llama, chat, questions, monkeypatch, caplog, error: Exception) -> None:
    expected = generate(llama, chat, questions, max_new_tokens=NEW, batch_size=4)
    tried, done = _limited(llama, monkeypatch, 1, error), []
    found = generate(llama, chat, questions, max_new_tokens=NEW, batch_size=4, progress=done.append)
    assert found == expected
    assert tried == [4, 2, 1, 1, 1, 1, 1]  # what comes later is not tried at the old size again
    assert done == [1, 2, 3, 4, 5]
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    assert "going on with 2" in caplog.text


def test_one_question_that_does_not_fit_and_other_errors_are_told(llama, chat, questions, monkeypatch) -> None:
    _limited(llama, monkeypatch, 0, OUT_OF_MEMORY[0])
    with pytest.raises(torch.OutOfMemoryError):
        generate(llama, chat, questions, max_new_tokens=NEW, batch_size=4)
    tried = _limited(llama, monkeypatch, 0, RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes"):
        generate(llama, chat, questions, max_new_tokens=NEW, batch_size=4)
    assert tried == [4]


def test_a_batch_that_is_counted_is_not_halved(llama, chat, questions, monkeypatch) -> None:
    tried = _limited(llama, monkeypatch, 1, OUT_OF_MEMORY[0])
    with pytest.raises(torch.OutOfMemoryError):
        generate(llama, chat, questions, max_new_tokens=NEW, batch_size=4, before_batch=lambda: None)
    assert tried == [4]
