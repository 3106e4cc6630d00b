"""What is refused before anything is measured, and the machine's rates."""

from typing import Any

import pytest
import torch

from lunar.bench.machine import check, measure_machine
from lunar.errors import LunarError

CPU = torch.device("cpu")


def test_what_does_not_fit_is_refused(how: dict[str, Any]) -> None:
    check("x", how, CPU)
    with pytest.raises(LunarError, match=r"x is for a GPU, and torch .* sees none; .*bench\.sizes\.x\.gpu"):
        check("x", how | {"gpu": True}, CPU)
    large = how | {"model": how["model"] | {"hidden_size": 10**6, "intermediate_size": 10**6}}
    with pytest.raises(LunarError, match=r"needs about .* GB and this machine has .* GB; name fewer than 3 blocks"):
        check("x", large, CPU)


def test_rates_are_of_each_dtype_once() -> None:
    threads = torch.get_num_threads()
    here = measure_machine(CPU, ["float64", "float32", "float64"], 64)
    assert [*here.rates] == ["float32", "float64"]
    assert min(here.bandwidth, *here.rates.values()) > 10**6
    assert here.name and here.memory > 10**8
    assert torch.get_num_threads() == threads
