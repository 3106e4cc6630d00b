"""README.md and the pages of docs/ show the reported run and what tests say."""

import re
from fnmatch import fnmatch
from pathlib import Path

import pandas as pd
import pytest

from lunar.plan.imports import imported_modules
from prose import sentences
from reruns import LINES
from result_tables import NUMBER, PAGES, README, RECORDED, made, marked, tables

TEXT = README.read_text(encoding="utf-8")
DEVELOPERS = (README.parent / "docs/developers.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tables_and_marked_numbers_are_as_recorded(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert made(text) == text, "make docs"


@pytest.mark.parametrize("name", list(tables()))
def test_table_is_that_of_the_reported_run(name: str) -> None:
    found = [match.group() for page in PAGES for match in marked(name).finditer(page.read_text(encoding="utf-8"))]
    assert found == [tables()[name]], f"<!-- {name} --> ... <!-- /{name} -->"


def test_numbers_of_the_text_are_in_the_reported_run() -> None:
    """Every decimal in the prose of the results: in a table of the run, or in a table that says where it is from."""
    texts = [path.read_text(encoding="utf-8") for path in PAGES[1:]]
    of_results = [text for text in texts if NUMBER.search(text) or any(f"<!-- {name} -->" in text for name in tables())]
    assert len(of_results) > 1
    section = "\n".join(of_results)
    prose = re.sub(r"^\|.*$|<!--.*?-->|`[^`]*`", "", section, flags=re.MULTILINE)
    known: set[str] = set()
    for path in RECORDED.rglob("*.csv"):
        numbers = pd.read_csv(path).select_dtypes("number").stack()
        known |= {f"{abs(value):.{places}f}" for value in numbers for places in (1, 2, 3)}
    unknown = [number for number in re.findall(r"(?<![\w.])\d+\.\d+(?![\w.]*\d)", prose) if number not in known]
    # Times and what follows from them differ from run to run; they are in a paragraph that names its source.
    timed = re.findall(r"<!-- timed: (.*?) -->", section)
    assert [number for number in unknown if number not in " ".join(timed).split()] == []


@pytest.mark.parametrize("name", ["README.md", "docs/audit.md"])
def test_sentences_are_short(name: str) -> None:
    lengths = [len(one.split()) for one in sentences((README.parent / name).read_text(encoding="utf-8"))]
    assert len(lengths) > 30
    assert sum(lengths) / len(lengths) <= 20
    assert max(lengths) <= 35


def test_the_readme_is_short() -> None:
    assert len(TEXT.split()) <= 1000  # code and tables included
    assert sum(len(one.split()) for one in sentences(TEXT)) <= 900


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
