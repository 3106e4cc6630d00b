"""The figures of README and docs are those of the recorded tables."""

from pathlib import Path

from figures import ROOT, write


def test_figures_are_drawn_from_the_recorded_tables(tmp_path: Path) -> None:
    write(tmp_path)
    found = sorted(tmp_path.iterdir())
    assert [path.name for path in found] == ["hidden.svg", "tradeoff.svg"]
    for path in found:
        assert (ROOT / "docs" / path.name).read_bytes() == path.read_bytes(), f"docs/{path.name}: run `make docs`"
