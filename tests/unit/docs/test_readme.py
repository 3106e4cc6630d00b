"""README.md and the pages of docs/ show the reported run and what tests say."""

import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

from lunar.plan.imports import imported_modules
from prose import numbers, sentences, shown
from reruns import LINES
from result_tables import NUMBER, PAGES, README, made, marked, tables

TEXT = README.read_text(encoding="utf-8")
RESULTS = sorted((README.parent / "docs").glob("results*.md"))
SHORT = [
    "README.md",
    "docs/audit.md",
    "docs/serving.md",
    "docs/paper-settings.md",
    *(f"docs/{page.name}" for page in RESULTS),
]
DEVELOPERS = (README.parent / "docs/developers.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tables_and_marked_numbers_are_as_recorded(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert made(text) == text, "make docs"


@pytest.mark.parametrize("name", list(tables()))
def test_table_is_that_of_the_reported_run(name: str) -> None:
    found = [match.group() for page in PAGES for match in marked(name).finditer(page.read_text(encoding="utf-8"))]
    assert found == [tables()[name]], f"<!-- {name} --> ... <!-- /{name} -->"


@pytest.mark.parametrize("page", RESULTS, ids=lambda page: page.name)
def test_decimals_of_the_text_are_marked(page: Path) -> None:
    """A decimal in prose has a mark, or its paragraph lists it as in no recorded table."""
    for paragraph in re.split(r"\n\s*\n", re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)):
        listed = " ".join(re.findall(r"<!-- not recorded: (.*?) -->", paragraph)).split()
        prose = re.sub(r"^\|.*$|<!--.*?-->|`[^`]*`", "", NUMBER.sub("", paragraph), flags=re.MULTILINE)
        assert set(re.findall(r"(?<![\w.])\d+\.\d+(?![\w.]*\d)", prose)) == set(listed), paragraph


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_row_of_a_table_holds_a_mark(page: Path) -> None:
    """The strokes of a mark would end the cells."""
    rows = [line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    assert [row for row in rows if NUMBER.search(row)] == []


def test_numbers_of_the_text_are_marked_on_the_pages_of_results() -> None:
    assert sum(len(NUMBER.findall(page.read_text(encoding="utf-8"))) for page in RESULTS) > 40


@pytest.mark.parametrize("name", SHORT)
def test_sentences_are_short(name: str) -> None:
    found = sentences((README.parent / name).read_text(encoding="utf-8"))
    lengths = [len(one.split()) for one in found]
    assert len(lengths) > 15
    assert sum(lengths) / len(lengths) <= 20
    assert [one for one in found if len(one.split()) > 35] == []


@pytest.mark.parametrize("name", SHORT)
def test_a_sentence_has_three_numbers_at_most(name: str) -> None:
    found = sentences((README.parent / name).read_text(encoding="utf-8"))
    assert [one for one in found if len(numbers(one)) > 3] == []


def test_numbers_of_a_sentence() -> None:
    assert numbers("ROUGE-1 of SmolLM2-135M is 0.5, −0.1 at 7B, 2,112 or 3-4.") == ["0.5", "−0.1", "2,112"]


def test_the_readme_is_short() -> None:
    assert len(shown(TEXT).split()) <= 900  # code and tables included


def test_the_table_of_reruns_is_that_of_the_tests() -> None:
    section = DEVELOPERS.partition("## What reruns after a change")[2].partition("### Exactly\n")[2].partition("\n#")[0]
    shown = [line for line in section.splitlines() if line.startswith("| `")]
    assert shown == [line.row() for line in LINES]


def test_tests_that_the_developers_page_names_exist() -> None:
    named = set(re.findall(r"\btest_\w+(?!\w*\.py)\b", DEVELOPERS)) - {"test_toy"}
    sources = [path.read_text(encoding="utf-8") for path in (README.parent / "tests").rglob("test_*.py")]
    files = {path.stem for path in (README.parent / "tests").rglob("test_*.py")}
    assert len(named) > 10
    missing = {name for name in named - files if not any(f"def {name}(" in source for source in sources)}
    assert missing == set()


def lines_of_the_way() -> list[list[str]]:
    """Rule, its file, script, library file and output of each step of "A question's way"."""
    section = DEVELOPERS.partition("## A question's way\n")[2].partition("\n## ")[0]
    return [re.findall(r"`([^`]+)`", line) for line in section.splitlines() if line.startswith("| `")]


@pytest.mark.parametrize("step", lines_of_the_way(), ids=lambda step: step[0])
def test_a_questions_way_is_that_of_the_rules(step: list[str]) -> None:
    rule, rules, script, module, output = step
    root = README.parent
    text = (root / "rules" / rules).read_text(encoding="utf-8")
    body = text.partition(f"\nrule {rule}:\n")[2].partition("\nrule ")[0]
    assert f'"../scripts/{script}"' in body
    patterns = [re.sub(r"\{+\w+\}+", "*", name) for name in re.findall(r'"(results/[^"]+)"', body)]
    assert any(fnmatch(f"results/toy/{output}", pattern) for pattern in patterns)
    plugin = [f"lunar.{module.removesuffix('.py').replace('/', '.')}"] if module.startswith("methods/") else []
    assert str(root / "scripts/lunar" / module) in imported_modules(root / "scripts" / script, *plugin)


def test_a_questions_way_has_ten_steps() -> None:
    assert len(lines_of_the_way()) == 10


def test_every_package_has_a_place_on_the_developers_page() -> None:
    section = DEVELOPERS.partition("## Where things are\n")[2].partition("\n## ")[0]
    named = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (.*?) \|", section, flags=re.MULTILINE))))
    assert {path.parent.name for path in (README.parent / "scripts/lunar").glob("*/__init__.py")} <= named
