"""Numbers in reStructuredText, as docutils reads them."""

from pathlib import Path

from docutils import nodes
from docutils.core import publish_doctree

from lunar.pages.numbers import list_table, write_numbers


def test_captions_read_numbers_by_name(tmp_path: Path) -> None:
    write_numbers(tmp_path / "a.rst", {"share": 0.256, "count": 3, "named": "lunar"})
    text = (tmp_path / "a.rst").read_text(encoding="utf-8") + "\n|count| of |named|, |share| of them.\n"
    assert publish_doctree(text).astext().endswith("3 of lunar, 0.26 of them.")


def test_a_table_has_its_titles_first() -> None:
    document = publish_doctree("\n".join(list_table([("method", "DS"), ("lunar", "8.1")])))
    assert [entry.astext() for entry in document.findall(nodes.entry)] == ["method", "DS", "lunar", "8.1"]
    assert [entry.astext() for head in document.findall(nodes.thead) for entry in head.findall(nodes.entry)] == [
        "method",
        "DS",
    ]
