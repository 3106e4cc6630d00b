"""What all training shares: the loss, the batches, and an update that is plain AdamW's."""

import math
import random
from collections import Counter

import pytest
import torch

from lunar.errors import Diverged
from lunar.model.chat import ANSWER, pad
from lunar.model.train import Trainer, answer_losses, autocast, cosine, epoch_batches, linear, plain_attention


@pytest.fixture
def conversations(chat, rows):
    return [chat.encode(row["question"], row["answer"]) for row in rows]


@torch.no_grad()
def test_answer_losses_by_hand(make_model, family: str, conversations) -> None:
    model = make_model(family)
    found = answer_losses(model, conversations, pad_id=1)
    for encoded, losses in zip(conversations, found, strict=True):
        scores = model(torch.tensor([encoded.ids])).logits[0].log_softmax(-1)
        expected = [-float(scores[t - 1, token]) for t, token in enumerate(encoded.ids) if encoded.spans[t] == ANSWER]
        assert losses.tolist() == pytest.approx(expected, rel=1e-4, abs=1e-4)
        assert len(losses) == len(encoded.ids) - encoded.prompt_length > 0


def test_answer_losses_reach_only_what_came_before(llama, conversations) -> None:
    """Padding and the other conversations of a batch do not enter: the gradient of a loss tells."""
    embedding = llama.get_input_embeddings()
    embedding.weight.requires_grad_(True)
    answer_losses(llama, conversations, pad_id=3)[1].sum().backward()
    touched = set(embedding.weight.grad.abs().sum(1).nonzero()[:, 0].tolist())
    padding = {embedding.padding_idx}  # never has a gradient, although it ends turns as well
    assert touched == set(conversations[1].ids[:-1]) - padding


def test_attention_by_plain_products_is_the_same_and_is_put_back(make_model, family: str, conversations) -> None:
    model = make_model(family)
    model.set_attn_implementation("sdpa")
    ids, mask = pad([one.ids for one in conversations], 1, "right")
    with torch.no_grad():
        wanted = model(ids, attention_mask=mask).logits
        with pytest.raises(KeyError), plain_attention(model):
            assert model.config._attn_implementation == "eager"
            found = model(ids, attention_mask=mask).logits
            raise KeyError
    assert model.config._attn_implementation == "sdpa"
    # A processor rounds single logits by some 1e-5. Another third token moves all later ones by more than 0.1.
    torch.testing.assert_close(found[mask.bool()], wanted[mask.bool()], rtol=0, atol=1e-4)


@pytest.mark.parametrize("size", [1, 2, 3, 50])
@pytest.mark.parametrize("count", [1, 2, 5, 12])
def test_epoch_batches_cover_all_once(conversations, size: int, count: int) -> None:
    rows = [(f"row {i}", conversations[i % len(conversations)]) for i in range(count)]
    order = random.Random(7)
    for _ in range(3):
        batches = epoch_batches(rows, size, order)
        assert Counter(name for batch in batches for name, _ in batch) == Counter(name for name, _ in rows)
        assert all(0 < len(batch) <= size for batch in batches)
        assert len(batches) == len(epoch_batches(rows, size, random.Random(0)))  # the schedule counts on it


def test_epoch_batches_are_drawn_from_the_seed(conversations) -> None:
    rows = [(f"row {i}", conversations[i % len(conversations)]) for i in range(12)]
    order = random.Random(7)
    first, second = epoch_batches(rows, 3, order), epoch_batches(rows, 3, order)
    assert first == epoch_batches(rows, 3, random.Random(7))
    assert first != second
    assert first != epoch_batches(rows, 3, random.Random(8))


def _parameters(seed: int = 0) -> list[torch.nn.Parameter]:
    draw = torch.Generator().manual_seed(seed)
    return [torch.nn.Parameter(torch.randn(shape, generator=draw)) for shape in ((3, 4), (4,))]


def _loss(parameters: list[torch.nn.Parameter], number: int) -> torch.Tensor:
    """Another loss at each update; some of its gradients are longer than 1, some shorter."""
    return 10.0 ** -(number % 3) * ((parameters[0] @ parameters[1]).sin() - 0.1 * number).square().sum()


def test_updates_are_those_of_the_loop_written_out() -> None:
    """Bit for bit, with two losses an update, clipping, a warm-up and a fall: results stay what they were."""
    expected = _parameters()
    optimiser = torch.optim.AdamW(expected, lr=0.05, weight_decay=0.0, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: min((step + 1) / 2, (8 - step) / 8))
    norms, losses = [], []
    for number in range(8):
        optimiser.zero_grad(set_to_none=True)
        first = _loss(expected, number)
        first.backward()
        second = _loss(expected, 2)
        (0.7 * second).backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(expected, 1.0)))
        losses.append((float(first.detach()), float(second.detach())))
        optimiser.step()
        schedule.step()
    assert min(norms) < 1 < max(norms)

    found = _parameters()
    trainer = Trainer(found, 0.05, linear(8, warmup=2))
    for number in range(8):
        assert trainer.updates == number
        with trainer.update():
            parts = (trainer.add(_loss(found, number)), trainer.add(_loss(found, 2), 0.7))
        assert parts == losses[number]
        assert trainer.loss == parts[0] + 0.7 * parts[1]
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    assert not any(torch.equal(one, other) for one, other in zip(found, _parameters(), strict=True))
    row = trainer.row()
    assert list(row) == ["step", "seconds"] and row["step"] == 8 and 0 <= row["seconds"] < 60


def test_the_rate_stays_unless_a_schedule_is_given() -> None:
    parameter = torch.nn.Parameter(torch.zeros(2))
    trainer = Trainer([parameter], 0.5)
    for _ in range(3):
        with trainer.update():
            trainer.add(parameter.sum())
    # The same gradient at each step, so that each moves by the rate.
    torch.testing.assert_close(parameter.detach(), torch.full((2,), -1.5), rtol=1e-5, atol=0)


def test_schedules_by_hand() -> None:
    assert [linear(10, 4)(step) for step in (0, 1, 2, 3, 5, 9)] == pytest.approx([0.25, 0.5, 0.75, 0.7, 0.5, 0.1])
    assert [linear(10, 0)(step) for step in (0, 5)] == [1.0, 0.5]  # no warm-up
    halves = [0.5 + 0.5 * math.cos(math.pi * share) for share in (0.2, 0.5, 0.9)]
    assert [cosine(10, 2)(step) for step in (0, 2, 5, 9)] == pytest.approx([0.5, *halves])
    assert cosine(10, 0)(0) == 1.0


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_divergence_leaves_the_parameters(broken: float) -> None:
    found = _parameters()
    trainer = Trainer(found, 0.05)
    with trainer.update():
        trainer.add(_loss(found, 1))
    before = [parameter.detach().clone() for parameter in found]
    with pytest.raises(Diverged, match=rf"after 1 updates \({broken}\); lower learning_rate"), trainer.update():
        trainer.add(_loss(found, 1))
        trainer.add(found[1].square().sum() * broken)
    assert all(torch.equal(one, other) for one, other in zip(found, before, strict=True))


def test_a_gradient_that_is_no_number_is_divergence_too() -> None:
    parameter = torch.nn.Parameter(torch.zeros(2))
    trainer = Trainer([parameter], 0.05)
    with pytest.raises(Diverged, match=r"after 0 updates \(0\.0\)"), trainer.update():
        trainer.add(parameter.sqrt().sum())


def test_an_error_in_the_block_makes_no_update() -> None:
    found = _parameters()
    trainer = Trainer(found, 0.05)
    with pytest.raises(KeyError), trainer.update():
        trainer.add(_loss(found, 1))
        raise KeyError
    assert trainer.updates == 0
    assert all(torch.equal(one, other) for one, other in zip(found, _parameters(), strict=True))


def test_a_state_is_taken_up_bit_for_bit() -> None:
    def go(trainer: Trainer, numbers: range) -> None:
        for number in numbers:
            with trainer.update():
                trainer.add(_loss(trainer.parameters, number))

    whole = Trainer(_parameters(), 0.05, cosine(6, 2))
    go(whole, range(6))
    first = Trainer(_parameters(), 0.05, cosine(6, 2))
    go(first, range(3))
    second = Trainer(_parameters(seed=9), 0.05, cosine(6, 2))
    second.restore(first.state())
    assert second.updates == 3
    go(second, range(3, 6))
    pairs = zip(second.parameters, whole.parameters, strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


@pytest.mark.parametrize(("dtype", "gains"), [(torch.float32, False), (torch.float32, True), (torch.bfloat16, False)])
def test_products_in_bfloat16_where_that_gains_or_weights_are_so(make_model, monkeypatch, dtype, gains: bool) -> None:
    monkeypatch.setattr("lunar.model.load.bfloat16_gains", lambda: gains)
    factors = torch.randn(2, 3, 3)
    with autocast(make_model(dtype=dtype)):
        product = factors[0] @ factors[1]
        assert not torch.is_autocast_cache_enabled()
    assert product.dtype == (torch.bfloat16 if gains or dtype == torch.bfloat16 else torch.float32)
