"""Pages and texts from templates: what is inserted is escaped, and nothing may be missing."""

from pathlib import Path

import pytest
from jinja2 import UndefinedError

from clone import ROOT
from lunar.pages.render import latex_escape, render, render_text

TEMPLATES = ROOT / "report/templates"


def test_latex_escapes_what_means_something() -> None:
    assert latex_escape("a_b & 5% #1 {x} $ ~ ^ \\ <") == (
        r"a\_b \& 5\% \#1 \{x\} \$ \textasciitilde{} \textasciicircum{} \textbackslash{} $<$"
    )


def test_style_sheet_is_inserted_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "style.css").write_text('td > p::before { content: "<"; }')
    none = {"sections": [], "methods": [], "commands": {}, "notes": []}
    page = render(TEMPLATES / "table.html.j2", style=tmp_path / "style.css", title="T", **none)
    assert '<style>td > p::before { content: "<"; }</style>' in page


def test_page_with_a_missing_value_is_refused(tmp_path: Path) -> None:
    (tmp_path / "page.j2").write_text("{{ titel }}")
    with pytest.raises(UndefinedError, match="titel"):
        render(tmp_path / "page.j2", style=TEMPLATES / "style.css", title="T")


def test_texts_are_not_escaped_as_pages_are(tmp_path: Path) -> None:
    (tmp_path / "a.md.j2").write_text("{% for one in said %}\n* {{ one }}\n\n{% endfor %}\n")
    assert render_text(tmp_path / "a.md.j2", said=["<b>", "a & b"]) == "* <b>\n\n* a & b\n"


def test_latex_has_delimiters_and_an_escape_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "a.tex.j2").write_text("% no comment\n\\textbf{<< said|tex >>}{{x}}<# gone #>\n")
    assert render_text(tmp_path / "a.tex.j2", said="50% _") == "% no comment\n\\textbf{50\\% \\_}{{x}}\n"
    with pytest.raises(UndefinedError, match="said"):
        render_text(tmp_path / "a.tex.j2")
