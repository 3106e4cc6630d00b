"""Pages, captions, comments of the configuration and rules are written in short, plain sentences."""

import re
from pathlib import Path

import pytest

from prose import numbers, sentences

ROOT = Path(__file__).parents[3]
FILES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md")), ROOT / "config/README.md"]
FILES += [*sorted(ROOT.glob("data/**/README.md")), ROOT / "community/README.md"]
CAPTIONS = sorted(ROOT.glob("report/*.rst"))
SETTINGS = [ROOT / "config.yaml", ROOT / "report/sections.yaml", *sorted(ROOT.glob("config/**/*.yaml"))]
SETTINGS += sorted(ROOT.glob("profiles/*/*.yaml"))
RULES = [ROOT / "Snakefile", *sorted(ROOT.glob("rules/*.smk"))]
RIDDLES = re.compile(r"\b(?:for want of|that are none|whoever|of (?:its|their) own|as it was)\b", flags=re.IGNORECASE)
MOST_WORDS, MEAN_WORDS, MOST_NUMBERS = 35, 20, 3


def named(one: object) -> str:
    """The name of a test: the file's path."""
    return one.relative_to(ROOT).as_posix() if isinstance(one, Path) else one.__name__


def caption(text: str) -> str:
    """The prose of a caption, without Jinja's statements, directives with their blocks, and underlines of titles."""
    text = re.sub(r"\{%.*?%\}", "", text, flags=re.DOTALL)
    text = re.sub(r"^\.\. .*\n(?:\s*\n|[ \t]+.*\n)*", "\n", text, flags=re.MULTILINE)
    text = re.sub(r"^=+$", "", text, flags=re.MULTILINE)
    return re.sub(r"``.*?``|\{\{.*?\}\}|\|\w+\|", "X", text)


def comments(text: str) -> str:
    """The comments: successive lines of comment are one paragraph, and a comment behind a value is another."""
    found = []
    for line in text.splitlines():
        before, sign, comment = line.partition("# ")
        if not sign:
            found.append("")
        elif before.strip():
            found += ["", comment, ""]
        else:
            found.append(comment)
    return "\n".join(found)


def docstrings(text: str) -> str:
    """Docstrings and comments of rules."""
    return comments(text) + "\n\n" + "\n\n".join(re.findall(r'"""(.*?)"""', text, flags=re.DOTALL))


TEXTS = [(path, str) for path in FILES] + [(path, caption) for path in CAPTIONS]
TEXTS += [(path, comments) for path in SETTINGS] + [(path, docstrings) for path in RULES]


@pytest.mark.parametrize(("path", "read"), TEXTS, ids=named)
def test_sentences_are_short_and_plain(path: Path, read) -> None:
    found = sentences(read(path.read_text(encoding="utf-8")))
    assert [one for one in found if len(one.split()) > MOST_WORDS] == []
    assert [one for one in found if len(numbers(one)) > MOST_NUMBERS] == []
    assert [one for one in found if RIDDLES.search(one)] == []


@pytest.mark.parametrize("path", FILES, ids=named)
def test_sentences_of_pages_are_short_on_average(path: Path) -> None:
    lengths = [len(one.split()) for one in sentences(path.read_text(encoding="utf-8"))]
    assert len(lengths) > 5
    assert sum(lengths) / len(lengths) <= MEAN_WORDS


def test_sentences_are_found() -> None:
    """The readers find the prose of each kind of file, and nothing else."""
    said = ".. include:: a.rst\n\nOf |tried| settings ``lunar`` is best. It costs {{ x }}.\n\n.. raw:: html\n\n   <p>\n"
    assert sentences(caption(said)) == ["Of X settings X is best.", "It costs X."]
    assert sentences(comments("# One long\n# line.\nkey: 1 # what it is\n")) == ["One long line.", "what it is"]
    for paths, read in ((FILES, str), (CAPTIONS, caption), (SETTINGS[:1], comments), (RULES[1:], docstrings)):
        assert all(sentences(read(path.read_text(encoding="utf-8"))) for path in paths)
