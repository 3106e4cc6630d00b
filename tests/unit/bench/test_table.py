"""The table of target `bench`, of what it measures at a tiny size."""

from typing import Any

from lunar.bench.table import COLUMNS, description, markdown, number, readable


def test_the_table(found: dict[str, Any]) -> None:
    rows = readable(found["stages"])
    assert [row[0] for row in rows] == [stage["name"] for stage in found["stages"]]
    assert {len(row) for row in rows} == {len(COLUMNS)}
    assert "steered answers" in rows[-1][1] and rows[1][-1] == ""
    lines = markdown(rows).splitlines()
    assert len(lines) == 2 + len(rows) and {line.count("|") for line in lines} == {len(COLUMNS) + 1}
    assert "3 blocks, 16 wide, d_ff 40" in description(found)
    assert [number(value) for value in (None, 0.01234, 12.345, 12345.6)] == ["", "0.0123", "12.3", "12,346"]
