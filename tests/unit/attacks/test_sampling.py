"""Several answers at a temperature."""

import itertools
from typing import Any

import pytest
import torch

from lunar.attacks.base import Attacked, AttackFailed, Target, rouge1
from lunar.attacks.sampling import Sampling, best_of
from lunar.metrics.text import rouge1 as rouge1_of
from lunar.model.chat import Said
from lunar.model.generate import generate
from targets import declared
from targets import make as made


@pytest.fixture
def target(asked: Target) -> Target:
    return declared(asked, "sampling")


def make(**settings: Any) -> Any:
    return made("sampling", **{"samples": 3, "temperature": 1.0} | settings)


def test_best_of_is_the_mean_over_all_draws() -> None:
    scores = [0.2, 0.9, 0.9, 0.0, 0.5]
    for k in range(1, 6):
        draws = list(itertools.combinations(scores, k))
        assert best_of(scores, k) == pytest.approx(sum(map(max, draws)) / len(draws))


def test_samples(target: Target) -> None:
    found = make(samples=4).run(target)
    scores = found.evidence["scores"]
    assert len(scores) == 3 and all(len(one) == 4 for one in scores) and found.evidence["distinct"] > 1
    assert [rouge1_of(row) for row in found.rows["forget"]] == [max(one) for one in scores]
    assert [row["x"] for row in found.curve] == [1, 2, 3, 4]
    assert found.curve[0]["forget"] == pytest.approx(sum(map(sum, scores)) / 12)
    assert found.curve[-1]["forget"] == pytest.approx(rouge1(found.rows["forget"]))
    other = make(samples=4)
    target.seed = 1
    assert other.run(target).rows != found.rows


def test_samples_that_are_all_the_same_are_caught(target: Target) -> None:
    with pytest.raises(AttackFailed, match="all 3 samples"):
        make(temperature=1e-6).run(target)


def test_sampling_draws_from_the_models_own_distribution(target: Target) -> None:
    """First tokens of many samples against the softmax of the logits, the rare ones included."""
    question, count = "Why?", 4000
    ids = torch.tensor([target.chat.encode(question).ids])
    logits = target.model(ids).logits[0, -1].detach()
    drawn = []
    kept, target.chat.decode = target.chat.decode, lambda tokens, begun: drawn.append(tokens[0]) or Said()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        generate(target.model, target.chat, [question] * count, max_new_tokens=1, batch_size=500, temperature=2.0)
    target.chat.decode = kept
    share = torch.bincount(torch.tensor(drawn), minlength=len(logits)) / count
    expected = (logits.double() / 2.0).softmax(-1)
    assert (share > 0).sum() > 50  # top_k's usual default would leave 50
    assert ((share - expected).abs() <= 5 * (expected * (1 - expected) / count).sqrt() + 2 / count).all()


@pytest.mark.parametrize(("one", "best", "fails"), [(0.8, 0.95, False), (0.4, 0.95, True), (0.6, 0.8, True)])
def test_control_of_sampling(target: Target, one: float, best: float, fails: bool, monkeypatch: Any) -> None:
    target.unattacked = {"forget": [row | {"prediction": row["answer"]} for row in target.rows["forget"]]}
    curve = [{"x": 1, "forget": one}, {"x": 2, "forget": best}]
    monkeypatch.setattr(Sampling, "run", lambda self, target: Attacked({}, {}, curve))
    if fails:
        with pytest.raises(AttackFailed, match="from one sample"):
            make().control(target)
    else:
        assert make().control(target)["forget"] == {"unattacked": 1.0, "one": one, "best": best}
