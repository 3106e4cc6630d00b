"""Fine-tuning: what moves, and that it learns."""

from types import SimpleNamespace

import psutil
import pytest
import torch

from lunar.edits.adapter import Adapter, linear_modules
from lunar.errors import Diverged, LunarError
from lunar.model.finetune import check_memory, encoded, freeze, train
from lunar.model.generate import generate
from lunar.model.train import answer_losses

SETTINGS = {
    "mixture_shares": {"refusals": 1, "general": 1},
    "first_layer": 0,
    "learning_rate": 1e-2,
    "batch_size": 4,
    "epochs": 2,
    "stop_at_loss": 0.0,
}


@pytest.fixture
def conversations(chat, rows):
    return encoded(chat, {"facts": rows})["facts"]


def _weights(model) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def _train(model, groups, seed: int = 0, **settings) -> list[dict]:
    parameters = settings.pop("parameters", None)
    how = {"settings": SETTINGS | settings, "seed": seed, "parameters": parameters}
    return train(model, groups, pad_id=1, **how, report=lambda row: None)


def test_overfits(make_model, chat, rows, conversations) -> None:
    model = make_model(hidden_size=64, intermediate_size=128, num_hidden_layers=2, head_dim=32, initializer_range=0.05)
    facts, other = conversations[:3], conversations[3:]
    settings = {"learning_rate": 3e-3, "epochs": 60, "stop_at_loss": 0.05, "batch_size": 2}
    history = _train(model, {"facts": facts, "refusals": other}, **settings)
    assert history[0]["loss_facts"] > 3
    assert history[-1]["loss_facts"] <= 0.05
    assert history[-1]["loss_refusals"] < 0.5
    assert [row["epoch"] for row in history] == list(range(1, len(history) + 1))
    assert [row["step"] for row in history] == [3 * row["epoch"] for row in history]  # 5 rows in halves of 2 and 3
    assert not model.training
    found = generate(model, chat, [row["question"] for row in rows[:3]], max_new_tokens=40, batch_size=3)
    assert found == [row["answer"] for row in rows[:3]]


def test_first_epoch_reports_losses_before_the_update(make_model, conversations) -> None:
    """With one batch a half and no learning, an epoch's row is the mean over all answer tokens of each group."""
    model = make_model()
    groups = {"facts": conversations[:2], "general": conversations[2:]}
    row = _train(model, groups, epochs=1, learning_rate=0.0, batch_size=50)[0]
    assert row.keys() == {"epoch", "step", "seconds", "loss_facts", "loss_general"}
    with torch.no_grad():
        for name, group in groups.items():
            expected = float(torch.cat(answer_losses(make_model(), group, pad_id=1)).mean())
            # Training may multiply in bfloat16.
            assert row[f"loss_{name}"] == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize("first_layer", [0, 1, 2])
def test_what_is_frozen_stays(llama, conversations, first_layer: int) -> None:
    before = _weights(llama)
    _train(llama, {"facts": conversations}, first_layer=first_layer)
    for name, value in llama.state_dict().items():
        upper = any(name.startswith(f"model.layers.{layer}.") for layer in range(first_layer, 3))
        trained = upper or first_layer == 0  # then embeddings, head and final norm train as well
        assert torch.equal(value, before[name]) != trained, name


def test_an_adapter_trains_alone(llama, conversations) -> None:
    before = _weights(llama)
    adapter = Adapter(llama, linear_modules(llama, 1), rank=2, alpha=4, seed=0)
    _train(llama, {"facts": conversations}, parameters=adapter.parameters)
    assert all(factors.left.norm() > 0 for factors in adapter.edit().values())
    adapter.remove()
    assert all(torch.equal(before[name], value) for name, value in _weights(llama).items())


def test_freeze_gives_back_what_trains(llama) -> None:
    for first_layer, blocks in ((1, {"1", "2"}), (0, None), (2, {"2"})):  # a later call undoes an earlier one
        parameters = freeze(llama, first_layer)
        trains = {name: p for name, p in llama.named_parameters() if p.requires_grad}
        assert {id(p) for p in parameters} == {id(p) for p in trains.values()}
        if blocks:
            assert {name.split(".")[2] for name in trains} == blocks
        else:
            assert len(trains) == len(list(llama.parameters()))


@pytest.mark.parametrize(("stop_at_loss", "epochs"), [(100.0, 1), (0.0, 4)])
def test_early_stop(llama, conversations, stop_at_loss: float, epochs: int) -> None:
    seen: list[dict] = []
    settings = SETTINGS | {"epochs": 4, "stop_at_loss": stop_at_loss}
    history = train(llama, {"facts": conversations}, pad_id=1, settings=settings, seed=0, report=seen.append)
    assert [row["epoch"] for row in history] == list(range(1, epochs + 1))
    assert seen == history


def test_an_epoch_has_a_share_of_the_mixture(llama, conversations, monkeypatch) -> None:
    """Updates follow the rows of an epoch, and so does the schedule: its last rate is that of the last update."""
    rates = []
    monkeypatch.setattr("lunar.model.finetune.cosine", lambda total, warmup: rates.append(total) or (lambda step: 1.0))
    groups = {"facts": conversations[:1], "general": conversations[1:]}
    history = _train(llama, groups, mixture_shares={"general": 0.5}, batch_size=1, epochs=2)
    assert [row["step"] for row in history] == [3, 6] and rates == [6]
    assert all(row.keys() >= {"loss_facts", "loss_general"} for row in history)


def test_facts_decide_the_early_stop(make_model, conversations) -> None:
    """The stop looks at the loss of the facts, not at the mean over all groups."""
    losses = _train(make_model(), {"facts": conversations[:2], "general": conversations[2:]}, epochs=1)[0]
    low, high = sorted([losses["loss_facts"], losses["loss_general"]])
    between = {"epochs": 2, "stop_at_loss": (low + high) / 2}
    history = _train(make_model(), {"facts": conversations[:2], "general": conversations[2:]}, **between)
    swapped = _train(make_model(), {"general": conversations[:2], "facts": conversations[2:]}, **between)
    assert {len(history), len(swapped)} == {1, 2}


def test_early_stop_at_exactly_the_loss(make_model, conversations) -> None:
    loss = _train(make_model(), {"facts": conversations}, epochs=1)[0]["loss_facts"]
    assert len(_train(make_model(), {"facts": conversations}, stop_at_loss=loss)) == 1


def test_same_seed_same_weights(make_model, conversations) -> None:
    models = [make_model() for _ in range(3)]
    for model, seed in zip(models, (3, 3, 4), strict=True):
        _train(model, {"facts": conversations}, seed=seed, batch_size=2)
    one, two, other = map(_weights, models)
    assert all(torch.equal(value, two[name]) for name, value in one.items())
    assert not all(torch.equal(value, other[name]) for name, value in one.items())


def test_conversations_keep_their_groups(chat, rows) -> None:
    expected = [chat.encode(row["question"], row["answer"]) for row in rows]
    assert encoded(chat, {"facts": rows[:2], "general": rows[2:]}) == {"facts": expected[:2], "general": expected[2:]}


def test_divergence_is_an_error(llama, conversations) -> None:
    """A model of numbers that are none is not written."""
    with pytest.raises(Diverged, match=r"after \d+ updates \(nan\); lower learning_rate"):
        _train(llama, {"facts": conversations}, learning_rate=1e30, epochs=5)


def test_check_memory(llama) -> None:
    check_memory(llama, SETTINGS, [50] * 10)
    with pytest.raises(LunarError, match=r"batch_size.*first_layer"):
        check_memory(llama, SETTINGS | {"batch_size": 10**9}, [50] * 10)
    with pytest.raises(LunarError, match="GB"):
        check_memory(llama, SETTINGS, [10**9])


@pytest.mark.parametrize("first_layer", [0, 1])
def test_check_memory_counts_what_trains(llama, monkeypatch: pytest.MonkeyPatch, first_layer: int) -> None:
    """Three float32 a trained parameter are needed, and one a unit of what is kept: one byte less is too little."""
    need = 12 * sum(p.numel() for p in freeze(llama, first_layer)) + (4 * 100 * 16 if first_layer else 0)
    settings = SETTINGS | {"first_layer": first_layer, "batch_size": 0}
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=need))
    check_memory(llama, settings, [60, 40])
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=need - 1))
    with pytest.raises(LunarError):
        check_memory(llama, settings, [60, 40])
