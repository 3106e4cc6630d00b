"""Pages and tables from Jinja templates."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

STRICT: Mapping[str, Any] = {"undefined": StrictUndefined, "trim_blocks": True, "lstrip_blocks": True}
# Braces, per cent and hash mean something in LaTeX.
DELIMITERS = {"block_start_string": "<%", "block_end_string": "%>"}
DELIMITERS |= {"variable_start_string": "<<", "variable_end_string": ">>"}
DELIMITERS |= {"comment_start_string": "<#", "comment_end_string": "#>"}

LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
LATEX |= {character: f"\\{character}" for character in "&%$#_{}"}
LATEX |= {"↑": r"$\uparrow$", "↓": r"$\downarrow$", "→": r"$\rightarrow$", "<": "$<$", ">": "$>$"}


# Written where a page is opened by itself; in the report, the report's own link leads back (report/workflow.rst).
BACK = r"""<script>
{
  const report = location.href.replace(/\/results\/.*/, "/results/report.html");
  const back = `<p><a href="${encodeURI(decodeURI(report))}">First page of the report</a></p>`;
  if (parent === window && report.endsWith("/results/report.html")) document.write(back);
}
</script>"""


def latex_escape(text: str) -> str:
    """Text as LaTeX prints it."""
    return "".join(LATEX.get(character, character) for character in text)


def render(template: str | Path, *, style: str | Path, **values: Any) -> str:
    """A page from a Jinja template and a style sheet, both files; everything inserted is escaped.

    A template puts ``{{ back|safe }}`` above its heading: a way back to the report's first page.
    """
    page = Environment(autoescape=True, **STRICT).from_string(Path(template).read_text(encoding="utf-8"))
    return page.render(style=Path(style).read_text(encoding="utf-8"), back=BACK, **values)


def render_text(template: str | Path, **values: Any) -> str:
    """Markdown or LaTeX from a Jinja template.

    A template of LaTeX (``.tex.j2``) has ``<% %>`` and ``<< >>`` for ``{% %}`` and ``{{ }}``, and the filter ``tex``,
    which escapes what is inserted.
    """
    latex = ".tex" in Path(template).suffixes
    environment = Environment(**STRICT, **(DELIMITERS if latex else {}))
    environment.filters["tex"] = latex_escape
    text = environment.from_string(Path(template).read_text(encoding="utf-8")).render(**values)
    return text.rstrip("\n") + "\n"
