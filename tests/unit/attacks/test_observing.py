"""A direction estimated from what a model refuses."""

import pytest
import torch

from lunar.attacks import observing
from lunar.attacks.base import Target
from lunar.attacks.observing import Observed, observed
from targets import declared, make

RANK = {"prompts": 3, "tokens": 3, "outlier": 4.0}
BLIND = {"prompts": 3, "tokens": 3, "screened": 2, "every": 1, "most_kl": 1.0}


@pytest.fixture
def target(refusing: Target) -> Target:
    return declared(refusing, "rank_one_removal")


@torch.no_grad()
def test_difference_of_means(target) -> None:
    seen = Observed(target, 3, 3)
    assert seen.facts["refused"]["forget"] == 1.0
    means = []
    for names in (("forget", "fictitious"), ("retain_all", "general")):
        rows = [row for name in names for row in target.rows[name] if name != "retain_all" or row["id"] != "2"]
        states = []
        for row in rows[: 3 if names[0] == "forget" else None]:
            out = target.model(torch.tensor([target.chat.encode(row["question"]).ids]), output_hidden_states=True)
            states.append(out.hidden_states[1][0, -1])
        means.append(torch.stack(states).double())
    refused, answered = means[0].mean(0), means[1]
    # Retained questions are those before the cut of three a set.
    expected = refused - torch.cat([answered[:3], answered[-2:]]).mean(0)
    torch.testing.assert_close(seen.difference[0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("name", "settings"), [("blind", BLIND), ("rank_one_removal", RANK)])
def test_an_attacker_with_too_few_refusals_gives_up(refusing, monkeypatch, name, settings) -> None:
    monkeypatch.setattr(observing, "FEWEST", 4)
    target = declared(refusing, name)
    target.unattacked = {name: [{"id": "x", "prediction": "as it was"}] for name in ("forget", "retain")}
    found = make(name, **settings).run(target)
    assert found.evidence["prompts_refused"] == 3
    assert "given_up" in found.evidence
    assert found.rows == target.unattacked


def test_attacks_of_a_job_observe_once(target) -> None:
    assert observed(target, 3, 3) is observed(target, 3, 3)
    assert observed(target, 3, 2) is not observed(target, 3, 3)
