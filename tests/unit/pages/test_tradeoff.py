"""The figure of forgetting against retention, from a table of three methods and from the recorded one."""

import math

import pandas as pd
import pytest
import yaml

from clone import ROOT
from lunar.pages.kinds import BASELINES, CONTROLS, EXACT, kinds
from lunar.pages.tradeoff import draw, in_corner, numbers, points, shown
from overlapping import overlaps

RECORDED = sorted((ROOT / "docs/recorded").glob("*/main.csv"))
SHIPPED = yaml.safe_load((ROOT / "config/methods.yaml").read_text(encoding="utf-8"))["defaults"]["methods"]


def row(method: str, ds: float, **recall: float) -> dict[str, float | str]:
    """A line of the main table: recalls with an interval from 0.1 below to 0.2 above."""
    ends = {"": 0.0, "_low": -0.1, "_high": 0.2}
    cells = {f"{name}_rouge1{end}": value + more for name, value in recall.items() for end, more in ends.items()}
    return {"method": method, "ds": ds} | cells


TABLE = pd.DataFrame(
    [
        row("vanilla", 99.0, forget=0.75, retain=0.5, unseen=0.25),
        row("lunar", 12.5, forget=0.25, retain=0.75, unseen=math.nan),
        row("npo", 12.5, forget=0.5, retain=0.5),
    ]
)


def test_a_number_with_its_interval() -> None:
    assert shown(0.5, 0.4, 0.7) == "0.50 [0.40, 0.70]"


def test_points_have_bars_and_say_what_they_are() -> None:
    found = points(TABLE)
    assert [one["id"] for one in found] == ["point-retain-1", "point-unseen-1", "point-retain-2", "point-retain-3"]
    first = found[1]
    assert (first["method"], first["other"], first["x"], first["y"]) == ("vanilla", "unseen", 0.75, 0.25)
    for bars in (first["xerr"], first["yerr"]):
        assert bars == [[pytest.approx(0.1)], [pytest.approx(0.2)]]
    assert found[2]["title"] == "lunar: forget 0.25 [0.15, 0.45], retain 0.75 [0.65, 0.95], DS 12.5"


def test_the_first_of_the_best_is_named() -> None:
    assert numbers(TABLE) == {"best": "lunar", "best_ds": 12.5}


def test_few_methods_get_no_enlarged_corner() -> None:
    figure = draw(points(TABLE), {"vanilla": CONTROLS, "lunar": EXACT, "npo": BASELINES})
    assert [axis.get_title(loc="left") for axis in figure.axes] == [
        "Forgetting and the retain set", "Forgetting and unseen authors",
    ]  # fmt: skip
    assert [text.get_text() for text in figure.axes[0].texts] == ["vanilla", "lunar", "npo"]


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.parent.name)
def test_every_method_is_named_once_a_set_and_no_name_covers_another(path) -> None:
    table = pd.read_csv(path)
    found = points(table)
    figure = draw(found, kinds({name: SHIPPED.get(name, {}).get("recipe", "") for name in table["method"]}))
    figure.canvas.draw()
    for other in ("retain", "unseen"):
        here = [one for one in found if one["other"] == other]
        panels = [axis for axis in figure.axes if axis.get_subplotspec().rowspan.start == (other == "unseen")]
        names = [text.get_text() for axis in panels for text in axis.texts if text.get_text()]
        assert sorted(names) == sorted(one["method"] for one in here)
        assert len(panels) == 1 + (sum(map(in_corner, here)) >= 3)
        for axis in panels:
            assert not overlaps(axis.texts)
            box = axis.get_window_extent()
            for text in axis.texts:
                if text.get_text():
                    own = text.get_window_extent()
                    assert box.x0 - 1 <= own.x0 and own.x1 <= box.x1 + 1, text.get_text()
