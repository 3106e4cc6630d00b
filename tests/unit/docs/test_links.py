"""Links and cross references of the pages: what they lead to is there."""

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PATTERNS = ("*.md", "docs/*.md", "config/*.md", "data/**/*.md")
PAGES = sorted(path for pattern in PATTERNS for path in ROOT.glob(pattern))
NAMED = [*PAGES, ROOT / "config.yaml", *ROOT.glob("profiles/*/*.yaml"), *ROOT.glob("rules/*.*")]
NAMED += [*ROOT.glob("scripts/**/*.py"), *ROOT.glob("tests/**/*.py"), *ROOT.glob("report/**/*.*")]


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def prose(path: Path) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def headings(path: Path) -> list[str]:
    return re.findall(r"^#+ (.+)$", prose(path), flags=re.MULTILINE)


def anchors(path: Path) -> set[str]:
    """Those that GitHub gives a page's headings."""
    seen: Counter[str] = Counter()
    found = set()
    for heading in headings(path):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


def links(path: Path) -> list[str]:
    """A page's relative links, to images too."""
    text = re.sub(r"`[^`\n]*`(?!\])", "", prose(path))
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if not re.match(r"[a-z]+:", link)]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_resolve(page: Path) -> None:
    broken = []
    for link in links(page):
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        if not target.exists() or not target.is_relative_to(ROOT.resolve()):
            broken.append(link)
        elif anchor and anchor not in anchors(target):
            broken.append(link)
    assert broken == []


def test_sections_that_are_named_are_there() -> None:
    """A page and, in quotes, one of its headings: with or without a link, and over lines."""
    found, missing = 0, []
    for path in NAMED:
        text = re.sub(r"\s*\n[#\s]*", " ", path.read_text(encoding="utf-8"))
        for file, heading in re.findall(r"\b(README|[\w-]+\.md)(?:\]\([^)]*\))?, \[?\"([^\"]+)\"", text):
            found += 1
            page = ROOT / "README.md" if file.startswith("README") else ROOT / "docs" / file
            if heading not in headings(page):
                missing.append(f'{name(path)}: {file}, "{heading}"')
    assert found > 8
    assert missing == []


def test_every_page_is_listed_in_the_readme_or_among_the_results() -> None:
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition("## I want to ...")[2].partition("\n## ")[0]
    listed = {*re.findall(r"\((docs/[\w-]+\.md)[)#]", section)}
    listed |= {f"docs/{link}" for link in links(ROOT / "docs/results.md") if re.fullmatch(r"results-[\w-]+\.md", link)}
    assert sorted(listed) == sorted(name(path) for path in PAGES if path.parent.name == "docs")


def test_the_pages_are_not_passed_over() -> None:
    assert {"README.md", "CONTRIBUTING.md", "docs/config.md", "data/published/README.md"} <= set(map(name, PAGES))
    assert anchors(ROOT / "README.md") >= {"audit-a-model-that-was-unlearned-elsewhere", "limitations"}
    assert len(links(ROOT / "README.md")) > 20
