"""The table of target `bench`, from what it measured. Needs no torch."""

from collections.abc import Mapping, Sequence
from typing import Any

from lunar.plan.size import of_sizes

COLUMNS = {
    "name": "Stage",
    "what": "What",
    "seconds": "Seconds",
    "floor": "Floor, s",
    "of_floor": "Floor / time",
    "peak": "Peak, GB",
    "published": "Published way",
    "timed": "Of it run",
    "published_seconds": "Its seconds",
    "published_peak": "Its peak, GB",
    "ratio": "Times longer",
}
TEXTS = ("name", "what", "published", "timed")


def number(value: float | None) -> str:
    """Three digits, and no more than units; nothing for None."""
    return "" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def cell(column: str, stage: Mapping[str, Any]) -> str:
    """What readers see of a stage in a column."""
    value = stage[column]
    if column == "what":
        return "; ".join([value, *(f"{part} {number(seconds)} s" for part, seconds in stage["parts"].items())])
    if column in TEXTS:
        return value
    if value is not None and "peak" in column:
        return f"{value / 1e9:.1f}"
    return f"{value:.1%}" if column == "of_floor" else number(value)


def readable(stages: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """The table's cells, a row a stage (``lunar.bench.stages.Stage`` as JSON)."""
    return [[cell(column, stage) for column in COLUMNS] for stage in stages]


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """The readable table as Markdown."""
    rules = ["---" if column in TEXTS else "---:" for column in COLUMNS]
    return "\n".join(f"| {' | '.join(line)} |" for line in [list(COLUMNS.values()), rules, *rows]) + "\n"


def description(found: Mapping[str, Any]) -> str:
    """Model and machine, from what target `bench` wrote."""
    how, here = found["settings"], found["machine"]
    known = how["model"]
    rates = ", ".join(f"{dtype} {number(rate / 1e9)}" for dtype, rate in here["rates"].items())
    size = f"{known['num_hidden_layers']} blocks, {known['hidden_size']} wide, d_ff {known['intermediate_size']}"
    return (
        f"{found['size']}: {size}, {of_sizes(dict(known)) / 1e6:,.0f}M parameters, {how['dtype']}, random weights. "
        f"{here['name']}, {here['memory'] / 1e9:.0f} GB, {found['threads']} threads, torch {found['torch']}; measured: "
        f"memory {here['bandwidth'] / 1e9:.1f} GB/s, matrix products in GFLOP/s {rates}."
    )
