"""What the figure of forgetting against retention shows, from metrics of two methods."""

from typing import Any

import pytest

from lunar.pages.tradeoff import numbers, points, shown


def cell(mean: float) -> dict[str, float]:
    return {"mean": mean, "low": mean - 0.1, "high": mean + 0.2}


@pytest.fixture
def metrics() -> dict[str, Any]:
    def one(ds: float, **recall: dict[str, float]) -> dict[str, Any]:
        return {"ds": {"mean": ds}, "splits": {name: {"rouge1": value} for name, value in recall.items()}}

    return {
        "vanilla": one(99.0, forget=cell(0.75), retain=cell(0.5), unseen=cell(0.25)),
        "lunar": one(12.5, forget=cell(0.25), retain=cell(0.75), unseen={}),
        "npo": one(12.5, forget=cell(0.5), retain=cell(0.5)),
    }


def test_a_number_with_its_interval() -> None:
    assert shown(cell(0.5)) == "0.50 [0.40, 0.70]"


def test_points_have_bars_and_say_what_they_are(metrics: dict[str, Any]) -> None:
    found = points(metrics)
    assert [one["id"] for one in found] == ["point-retain-1", "point-unseen-1", "point-retain-2", "point-retain-3"]
    assert [one["panel"] for one in found] == [0, 1, 0, 0]
    first = found[1]
    assert (first["method"], first["x"], first["y"]) == ("vanilla", 0.75, 0.25)
    for bars in (first["xerr"], first["yerr"]):
        assert bars == [[pytest.approx(0.1)], [pytest.approx(0.2)]]
    assert found[2]["title"] == "lunar: forget 0.25 [0.15, 0.45], retain 0.75 [0.65, 0.95], DS 12.5"


def test_the_first_of_the_best_is_named(metrics: dict[str, Any]) -> None:
    assert numbers(metrics) == {"best": "lunar", "best_ds": 12.5}
