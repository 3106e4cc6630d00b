"""Numbers in reStructuredText: what captions read, and tables of the report's first page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lunar.files import write_text


def write_numbers(path: str | Path, numbers: Mapping[str, Any]) -> None:
    """Write what a caption reads: reStructuredText substitutions, so that |name| in it stands for the number."""
    lines = []
    for name, value in numbers.items():
        text = f"{value:.2f}" if isinstance(value, float) else str(value)
        lines.append(f".. |{name}| replace:: {text}\n")
    write_text(path, "".join(lines))


def list_table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a reStructuredText table; the first row holds the titles."""
    lines = [f"   {'*' if i == 0 else ' '} - {cell}" for row in rows for i, cell in enumerate(row)]
    return [".. list-table::", "   :header-rows: 1", "", *lines]


def linked(experiment: str, words: str, file: str) -> str:
    """A link of the report's first page to one of an experiment's pages or figures (report/workflow.rst opens it)."""
    return f"`{words} <#results/{experiment}/{file}>`__"
