"""report/sections.yaml has every page of the report; rules, captions and texts that name a page agree with it."""

import re

import pytest
import yaml

from clone import ROOT

SECTIONS = yaml.safe_load((ROOT / "report/sections.yaml").read_text(encoding="utf-8"))
PAGES = {name: page for pages in SECTIONS.values() for name, page in pages.items()}
TITLES = [page["title"] for page in PAGES.values()]
# Pages by number, such as 4.1; two of one number show the same.
NUMBERED = {title.partition(" ")[0]: page for title, page in zip(TITLES, PAGES.values(), strict=True)}
SHOWN = {
    name: rule
    for path in (ROOT / "rules").glob("*.smk")
    for rule, body in re.findall(r"^rule (\w+):\n(.*?)(?=^\S|\Z)", path.read_text(encoding="utf-8"), re.M | re.S)
    for name in re.findall(r'\bshown\(\s*"([^"]+)"', body)
}
# Where readers are sent to a page by its number; the paper's sections are named after "LUNAR," or "TOFU,".
TEXTS = [*ROOT.glob("report/*.rst"), *ROOT.glob("report/templates/*"), *ROOT.glob("scripts/lunar/pages/*.py")]
NAMED = re.compile(r"(?<!LUNAR, )(?<!TOFU, )\b(section|figure|page)s?\s+(\d+(?:\.\d+)?)\b")
ELSEWHERE = [ROOT / "README.md", ROOT / "config.yaml", *ROOT.glob("config/**/*.yaml"), *ROOT.glob("docs/*.md")]
IN_THE_REPORT = re.compile(r"\breport, (?:(section|figure|page) )?(\d+(?:\.\d+)?)\b")


def test_rules_show_the_pages_that_are_listed() -> None:
    assert SHOWN == {name: page["rule"] for name, page in PAGES.items()}


def test_every_page_has_its_number_in_its_section() -> None:
    for section, pages in SECTIONS.items():
        numbers = [page["title"].partition(" ")[0] for page in pages.values()]
        assert all(re.fullmatch(rf"{section.partition(' ')[0]}\.\d", number) for number in numbers), section
        assert numbers == sorted(numbers), section
    assert [section.partition(" ")[0] for section in SECTIONS] == [str(number) for number in range(len(SECTIONS))]
    assert len(set(TITLES)) == len(TITLES)


def test_captions_are_those_of_pages() -> None:
    captions = {path.stem for path in ROOT.glob("report/*.rst")} - {"workflow"}
    assert captions == {page["caption"] for page in PAGES.values()}


@pytest.mark.parametrize(
    ("texts", "pattern"), [(TEXTS, NAMED), (ELSEWHERE, IN_THE_REPORT)], ids=["in the report", "elsewhere"]
)
def test_numbers_that_texts_name_are_in_the_report(texts: list, pattern: re.Pattern[str]) -> None:
    named = [
        (path.name, kind, number)
        for path in texts
        for kind, number in pattern.findall(path.read_text(encoding="utf-8"))
    ]
    assert named
    sections = {section.partition(" ")[0] for section in SECTIONS}
    for path, kind, number in named:
        assert number in (NUMBERED if "." in number else sections), f"{path}: the report has no {kind} {number}"
        if kind == "figure":
            assert NUMBERED[number]["rule"].startswith("plot_"), f"{path}: {number} is no figure"
