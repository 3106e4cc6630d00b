"""Directions, computed by hand."""

import pytest
import torch

from lunar.activations.direction import direction
from lunar.activations.statistics import Statistics
from lunar.errors import LunarError


@pytest.mark.parametrize("site", ["residual", "down_proj"])
@pytest.mark.parametrize("tokens", ["last", "prompt"])
def test_direction_is_reference_minus_forget(site: str, tokens: str) -> None:
    keys = [(s, t) for s in ("residual", "down_proj") for t in ("last", "prompt")]
    reference = {key: torch.full((2, 3), 10.0 + i, dtype=torch.float64) for i, key in enumerate(keys)}
    forget = {key: torch.arange(6, dtype=torch.float64).reshape(2, 3) * (i + 1) for i, key in enumerate(keys)}
    i = keys.index((site, tokens))
    expected = [[10 + i - (i + 1) * (3 * row + column) for column in range(3)] for row in range(2)]
    made = [Statistics.of({}, {}, {}, means) for means in (reference, forget)]
    assert direction(*made, site, tokens).tolist() == expected


@pytest.mark.parametrize(("site", "tokens"), [("residuals", "last"), ("residual", "all"), ("", "")])
def test_direction_of_an_unknown_site(site: str, tokens: str) -> None:
    with pytest.raises(LunarError, match="residual"):
        direction(Statistics({}), Statistics({}), site, tokens)
