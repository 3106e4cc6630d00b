"""Batched generation against greedy decoding by hand, one question at a time and without a cache."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from lunar.activations.hooks import calls
from lunar.model.cache import common
from lunar.model.chat import pad
from lunar.model.decoding import Decoding
from lunar.model.generate import generate
from lunar.model.hooks import hooked

NEW = 8


@torch.no_grad()
def _greedy(model, ids: list[int]) -> list[int]:
    ids = list(ids)
    for _ in range(NEW):
        ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
    return ids[-NEW:]


@contextmanager
def passes(model) -> Iterator[list[tuple[int, int]]]:
    """The sizes, rows and tokens, of all passes inside the block."""
    found: list[tuple[int, int]] = []

    def keep(module, args, kwargs) -> None:
        found.append(tuple(kwargs["input_ids"].shape))

    with hooked(before=[(model.get_decoder(), keep)]):
        yield found


@pytest.fixture
def questions(rows) -> list[str]:
    return [row["question"] for row in rows]


@pytest.mark.parametrize("batch_size", [1, 2, 4, 50])
def test_equals_greedy_decoding_by_hand(llama, chat, questions, batch_size: int) -> None:
    done: list[int] = []
    batches: list[int] = []
    how = {"max_new_tokens": NEW, "batch_size": batch_size}
    found = generate(
        llama, chat, questions, **how, before_batch=lambda: batches.append(len(done)), progress=done.append
    )
    expected = [chat.decode(_greedy(llama, chat.encode(question).ids)) for question in questions]
    assert found == expected
    assert generate(llama, chat, questions, **how) == expected  # with what prompts share read once
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


def test_rows_that_ended_leave_and_others_take_their_places(llama, chat, questions) -> None:
    prompts = [chat.encode(question).ids for question in questions]
    plain = [_greedy(llama, prompt) for prompt in prompts]
    with passes(llama) as found:
        said = Decoding(llama, 1, {plain[0][1], plain[2][2], plain[3][3]}, NEW).answers(prompts, 0, 2)
    assert [len(tokens) for tokens in said] == [2, 2, 3, 4, 8]
    first, second, third = ((2, len(prompts[0])), (2, 1)), ((2, len(prompts[2])), (2, 1), (2, 1)), (1, len(prompts[4]))
    # The fourth and the fifth answer, whose prompts were read at different times, go on together by one token.
    assert found == [*first, *second, third, (2, 1), *[(1, 1)] * 6]


def test_what_prompts_share_is_read_once(llama, chat, questions) -> None:
    prompts = [chat.encode(question).ids for question in questions]
    shared = common(prompts)
    assert 0 < shared < min(map(len, prompts)) and len({tuple(prompt[:shared]) for prompt in prompts}) == 1
    assert len({prompt[shared] for prompt in prompts}) > 1
    with passes(llama) as found:
        generate(llama, chat, questions, max_new_tokens=1, batch_size=2)
    assert found[0] == (1, shared)
    assert sum(rows for rows, _ in found[1:]) == len(prompts)
    assert max(tokens for _, tokens in found[1:]) == max(map(len, prompts)) - shared


def test_the_head_is_computed_where_a_token_is_chosen(make_model, family: str, chat, questions) -> None:
    """Once a row and pass, though the prompts are of different lengths."""
    model, found = make_model(family), []

    def keep(module, args, kwargs) -> None:
        found.append(tuple(args[0].shape[:2]))

    with hooked(before=[(model.get_output_embeddings(), keep)]):
        generate(model, chat, questions, max_new_tokens=1, batch_size=2)
    assert found == [(2, 1), (2, 1), (1, 1)]


@pytest.mark.parametrize(
    ("prompts", "shared"),
    [
        ([[1, 2, 3], [1, 2, 4]], 2),
        ([[1, 2], [1, 2]], 1),
        ([[1, 2], [1, 2, 3]], 1),
        ([[1, 2]], 0),
        ([], 0),
        ([[], []], 0),
    ],
)
def test_common(prompts: list[list[int]], shared: int) -> None:
    assert common(prompts) == shared


def test_samples_are_those_of_the_library(llama, chat, questions) -> None:
    """With one seed the same draws, since rows that ended are drawn for as well."""
    prompts = [chat.encode(question).ids for question in questions]
    order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))
    ids, mask = pad([prompts[i] for i in order], 1, "left")
    chat.end_ids = list(range(1, 120))  # so that answers end at different lengths
    torch.manual_seed(5)
    how = {"do_sample": True, "temperature": 1.5, "top_k": 0, "eos_token_id": chat.end_ids, "pad_token_id": 1}
    output = llama.generate(input_ids=ids, attention_mask=mask, max_new_tokens=NEW, **how)[:, ids.shape[1] :].tolist()
    expected = [chat.decode(output[order.index(i)]) for i in range(len(prompts))]
    torch.manual_seed(5)
    assert generate(llama, chat, questions, max_new_tokens=NEW, batch_size=9, temperature=1.5) == expected


def test_samples_of_one_prompt_read_it_once_and_leave_when_they_end(llama, chat, questions) -> None:
    """They are what they are without that: all rows are drawn for, and each prompt is read with its own."""
    asked = [question for question in questions[:3] for _ in range(4)]
    prompts = [chat.encode(question).ids for question in asked]
    order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))
    ids, mask = pad([prompts[i] for i in order], 1, "left")
    chat.end_ids = list(range(1, 120))
    torch.manual_seed(5)
    how = {"do_sample": True, "temperature": 1.5, "top_k": 0, "eos_token_id": chat.end_ids, "pad_token_id": 1}
    output = llama.generate(input_ids=ids, attention_mask=mask, max_new_tokens=NEW, **how)[:, ids.shape[1] :].tolist()
    torch.manual_seed(5)
    with calls([llama.get_decoder()]) as made:
        found = generate(llama, chat, asked, max_new_tokens=NEW, batch_size=12, temperature=1.5)
    assert found == [chat.decode(output[order.index(i)]) for i in range(len(prompts))]
    rows = [len(kwargs["input_ids"]) for _, kwargs in made]
    assert rows[0] == 3 and 12 > rows[1] > rows[-1]  # an answer may end with its first token


def test_no_longer_than_asked(llama, chat, questions) -> None:
    found = generate(llama, chat, questions[:1], max_new_tokens=3, batch_size=1)
    assert found == [chat.decode(_greedy(llama, chat.encode(questions[0]).ids)[:3])]


# Each family of the tests, and one whose attention sees eight tokens only.
CASES = [*((one, {}) for one in ("llama", "mistral", "qwen2", "gemma")), ("mistral", {"sliding_window": 8})]


@pytest.mark.parametrize(("family", "size"), CASES)
@pytest.mark.parametrize("shared", [0, 3])
@pytest.mark.parametrize("batch_size", [1, 2, 3, 50])
def test_places_change_no_answer(make_model, family: str, size, chat, questions, batch_size: int, shared: int) -> None:
    """Answers end at different tokens, and prompts of other lengths take their places."""
    model = make_model(family, **size)
    plain = [_greedy(model, chat.encode(question).ids) for question in questions]
    ends = {plain[1][1], plain[2][2], plain[3][3]}
    expected = [next((one[: i + 1] for i, token in enumerate(one) if token in ends), one) for one in plain]
    assert len({len(one) for one in expected}) > 2
    decoding = Decoding(model, 1, ends, NEW)
    assert decoding.answers([chat.encode(question).ids for question in questions], shared, batch_size) == expected


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory"),
    MemoryError(),
]


def _limited(model, monkeypatch, fits: int, error: Exception) -> list[int]:
    """Have the model's passes fail on more than so many questions; gives the sizes that were tried, each once."""
    tried: list[int] = []
    real = model.forward

    def limited(input_ids: torch.Tensor, **options):
        tried.extend([len(input_ids)] * (len(input_ids) not in tried))
        if len(input_ids) > fits:
            raise error
        return real(input_ids=input_ids, **options)

    monkeypatch.setattr(model, "forward", limited)
    return tried


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda error: type(error).__name__)
def test_a_batch_that_does_not_fit_is_halved(llama, chat, questions, monkeypatch, caplog, error: Exception) -> None:
    expected = generate(llama, chat, questions, max_new_tokens=NEW, batch_size=4)
    tried, done = _limited(llama, monkeypatch, 1, error), []
    found = generate(llama, chat, questions, max_new_tokens=NEW, batch_size=4, progress=done.append)
    assert found == expected
    assert tried == [4, 2, 1]
    assert done == [4, 5]  # a round is four batches
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
