"""reStructuredText for the report's first page."""

from collections.abc import Sequence


def list_table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a reStructuredText table; the first row holds the titles."""
    lines = [f"   {'*' if i == 0 else ' '} - {cell}" for row in rows for i, cell in enumerate(row)]
    return [".. list-table::", "   :header-rows: 1", "", *lines]
