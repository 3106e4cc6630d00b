"""The report's first page: what it includes in which order, and links to pages that are there and to no other."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from docutils.core import publish_parts
from jinja2 import Environment

from clone import ROOT

PAGE = (ROOT / "report/workflow.rst").read_text(encoding="utf-8")
TEXTS = ["tables/summary.rst", "figures/tradeoff.svg", "tables/attacks_summary.rst", "figures/hidden.svg"]
TEXTS += ["tables/audit.rst", "tables/reproduced_summary.rst"]
SHOWN = ["tables/main.html", "figures/tradeoff.svg", "tables/cost.html", "tables/attacks.html", "figures/hidden.svg"]
SHOWN += ["tables/audit.html", "tables/reproduced.html", "tables/generations.html"]


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The page as HTML, of an experiment with all texts and of the named files in the report."""
    for path in TEXTS:
        file = tmp_path / "results/toy" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"<svg>{path}</svg>" if file.suffix == ".svg" else f"Here is {path}.\n")
    monkeypatch.chdir(tmp_path)

    def made(shown: list[str]) -> str:
        files = [SimpleNamespace(path=Path("results/toy") / path) for path in shown]
        environment = Environment(trim_blocks=True, lstrip_blocks=True)
        text = environment.from_string(PAGE).render(
            snakemake=SimpleNamespace(config={"run": ["toy"]}), files=files, categories={}
        )
        return publish_parts(text, writer="html", settings_overrides={"halt_level": 2})["html_body"]

    return made


def test_what_was_found_stands_in_order(page) -> None:
    html = page(SHOWN)
    places = [html.index(path) for path in TEXTS]
    assert places == sorted(places)
    links = re.findall(r'href="#results/toy/([^"]+)"', html)
    assert links == ["tables/cost.html", "tables/generations.html"]


def test_what_was_not_made_is_left_out(page) -> None:
    html = page([])
    assert "no table yet" in html
    assert not any(path in html for path in TEXTS) and 'href="#results/' not in html
    assert "Where to read on" not in html


def test_links_name_pages_by_their_numbers() -> None:
    """A link such as "1.8, ..." leads to a file of page 1.8."""
    sections = yaml.safe_load((ROOT / "report/sections.yaml").read_text(encoding="utf-8"))
    titles = {name: one["title"] for pages in sections.values() for name, one in pages.items()}
    rules = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "rules").glob("*.smk"))
    numbers = {
        file: titles[name].partition(" ")[0]
        for name, file in re.findall(r'shown\("([\w-]+)", "results/\{experiment\}/([^"]+)"', rules)
    }
    named = re.findall(r'\("((?:tables|figures)/[^"]+)", "(\d\.\d), ', PAGE)
    named += [(file, number) for number, file in re.findall(r"`(\d\.\d) <#\{\{ results \}\}/([^>]+)>`__", PAGE)]
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "scripts/lunar/pages").glob("*.py"))
    named += [(file, number) for number, file in re.findall(r'"(\d\.\d)", "((?:tables|figures)/[^"]+)"', code)]
    assert len(named) >= 12
    assert {file: numbers[file] for file, _ in named} == dict(named)
