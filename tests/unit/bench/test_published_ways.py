"""The published ways against ours, on a tiny random model."""

from typing import Any

import torch

from lunar.activations.statistics import collect
from lunar.bench.published_ways import answer_one_by_one, pass_one_by_one
from lunar.bench.random_inputs import random_model, random_prompts
from lunar.bench.stages import answer

CPU = torch.device("cpu")


def test_one_by_one_gives_the_same_means(how: dict[str, Any]) -> None:
    model, prompts = random_model(how, CPU, 0), random_prompts(how, 9, 0)
    ours = collect(model, prompts, pad_id=0, batch_size=4).mean("residual", "last")
    theirs = pass_one_by_one(model, prompts)
    torch.testing.assert_close(ours[:-1], theirs[:-1], rtol=1e-5, atol=1e-5)
    assert not torch.allclose(ours[-1], theirs[-1])  # theirs has the final norm in it


def test_one_by_one_gives_the_same_answers(how: dict[str, Any]) -> None:
    model, prompts = random_model(how, CPU, 0), random_prompts(how, 9, 0)
    ours = answer(model, how, prompts)
    assert ours == answer_one_by_one(model, prompts, 3)
    assert {len(text.split()) for text in ours} == {3}
    assert len(set(ours)) > 1
