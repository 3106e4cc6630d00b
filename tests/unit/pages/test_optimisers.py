"""What the figure of optimisers shows, from a table of two curves."""

from typing import Any

import pandas as pd
import pytest

from lunar.pages.optimisers import CLOSED, closed_form, duration, numbers, reached, times, trained


@pytest.fixture
def runs() -> pd.DataFrame:
    rows = [(CLOSED[0], 1, 0.5, 10.0), (CLOSED[1], 1, 2.0, 10.0), ("sgd", 5, 1.0, 30.0), ("adamw", 5, 3.0, 20.0)]
    rows += [("sgd", 10, 8.0, 15.0)]
    return pd.DataFrame(rows, columns=["solver", "step", "seconds", "objective"]).assign(optimum=10.0)


FACTS: dict[str, Any] = {
    "layer": 3,
    "rows": 100,
    "width": 16,
    "threads": 2,
    "optimum": 10.0,
    "unedited": 25.0,
    "seconds": {"caching": 8.0},
    "uncached": {"epochs": 300, "prompts": 30, "steps": 5, "step_seconds": 0.25, "seconds": 7200.0},
}


@pytest.mark.parametrize(("ratio", "text"), [(9.96, "10.0 times"), (10.4, "10 times"), (1142.1, "1142 times")])
def test_a_ratio_in_words(ratio: float, text: str) -> None:
    assert times(ratio) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0724, "0.072 s"),
        (1.25, "1.2 s"),
        (119.0, "119.0 s"),
        (120.0, "2.0 minutes"),
        (9000, "2.5 hours"),
        (172800, "2.0 days"),
    ],
)
def test_a_time_has_the_unit_that_suits_it(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_curves_are_those_of_optimisers_alone(runs: pd.DataFrame) -> None:
    assert closed_form(runs) == {CLOSED[0]: 0.5, CLOSED[1]: 2.0}
    curves = trained(runs)
    assert [*curves] == ["sgd", "adamw"]
    assert curves["sgd"]["ratio"].tolist() == [3.0, 1.5]
    assert "ratio" not in runs


def test_where_an_optimiser_ends() -> None:
    text = reached("sgd", {"ratio": 1.5, "seconds": 8.0}, 0.5, 2.0)
    assert text == "sgd ends at 1.500 of the optimum after 8.0 s (16 times the solve, 4.0 times with the sums)"


def test_numbers(runs: pd.DataFrame) -> None:
    found = numbers(runs, FACTS, "exact")
    assert found.pop("runs").split("; ")[1].startswith("adamw ends at 2.000 of the optimum after 3.0 s (6.0 times")
    assert found == {
        "layer": 3,
        "rows": 100,
        "width": 16,
        "threads": 2,
        "alone": "0.500 s",
        "whole": "2.0 s",
        "method": "exact",
        "noedit": "2.50",
        "epochs": 300,
        "prompts": 30,
        "steps": 5,
        "step": "0.250 s",
        "extrapolated": "2.0 hours",
        "caching": "8.0 s",
        "slower": "720 times",
    }
