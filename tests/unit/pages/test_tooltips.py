"""Texts that hovering over a figure shows."""

import re
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from lunar.errors import LunarError
from lunar.pages.figures import save
from lunar.pages.tooltips import inline, titled


def test_a_point_gets_its_title_and_nothing_else_changes(tmp_path: Path) -> None:
    figure, axis = plt.subplots()
    for number in range(2):
        point = axis.errorbar(number, 1, xerr=0.1, yerr=0.1, marker="o", label=f"method {number}")
        point.lines[0].set_gid(f"point-{number}")
    figure.legend()  # whose marks are copies: they are not to take the name along
    save(figure, tmp_path / "a.svg")
    svg = (tmp_path / "a.svg").read_text(encoding="utf-8")
    found = titled(svg, {"point-0": "a < b", "point-1": "c"})
    assert re.findall(r'<g id="(point-\d)"><title>(.*?)</title>', found) == [("point-0", "a &lt; b"), ("point-1", "c")]
    assert re.sub(r"(?<=\">)<title>(?:a &lt; b|c)</title>", "", found) == svg
    assert inline(found).startswith("<svg")


def test_a_point_that_is_not_there() -> None:
    with pytest.raises(LunarError, match="0 groups called 'point-9'"):
        titled("<svg></svg>", {"point-9": "x"})
