"""What a method costs, from the files that its jobs leave."""

import json
import math
from pathlib import Path

import pandas as pd
import pytest

from lunar.pages.cost import COLUMNS, cost, readable

BENCHMARK = "s\th:m:s\tmax_rss\tmax_vms\n{s}\t0:00:12\t{rss}\t9000.00\n"


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    contents = {
        "facts": json.dumps({"trained": 384}),
        "cost": json.dumps({"seconds": 0.25}),
        "edit": "x" * 1720,
        "benchmark": BENCHMARK.format(s="3.5", rss="273.26"),
        "rehearsal": BENCHMARK.format(s="17.64", rss="500.00"),
    }
    for name, text in contents.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return {name: tmp_path / name for name in contents}


def test_cost(files: dict[str, Path]) -> None:
    assert cost(files) == {
        "trained": 384,
        "stored_bytes": 1720,
        "peak_mb": 273.26,
        "edit_seconds": 0.25,
        "rehearsal_seconds": 17.64,
    }


def test_cost_without_rehearsal(files: dict[str, Path]) -> None:
    del files["rehearsal"]
    assert math.isnan(cost(files)["rehearsal_seconds"])


def test_readable(files: dict[str, Path]) -> None:
    one = {"method": "a"} | cost(files) | {"trained": 1234567}
    other = one | {"method": "b", "peak_mb": math.nan, "rehearsal_seconds": math.nan}
    assert readable(pd.DataFrame([one, other], columns=list(COLUMNS))) == [
        ["a", "1,234,567", "1,720", "273", "0.25", "18"],
        ["b", "1,234,567", "1,720", "not measured", "0.25", "none"],
    ]
