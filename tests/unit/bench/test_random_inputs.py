"""Random prompts and rows, as many and as long as is asked for."""

from typing import Any

import pytest
import torch

from lunar.bench.random_inputs import random_problem, random_prompts
from lunar.edits.solve import ridge_strength

CPU = torch.device("cpu")


def test_prompts_are_drawn_as_asked(how: dict[str, Any]) -> None:
    prompts = random_prompts(how, 200, 0)
    assert {len(one.ids) for one in prompts} == set(range(6, 13))
    assert {id for one in prompts for id in one.ids} == set(range(50))
    assert all(one.prompt_length == len(one.ids) == len(one.spans) and {0, 1, 2} == {*one.spans} for one in prompts)
    assert prompts == random_prompts(how, 200, 0) != random_prompts(how, 200, 1)


def test_random_problem_has_the_ridge_of_its_rows(how: dict[str, Any]) -> None:
    given = random_problem(how, 4000, CPU, 0)
    gram, target = given.sums()
    assert given.strength == pytest.approx(ridge_strength(gram, 1e-3), rel=0.02)
    assert int(given.targets.sum()) == 4000 * 2 // 9
    assert target.shape == (40,)
