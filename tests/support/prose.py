"""Sentences of Markdown pages and their numbers: a sentence ends at a full stop, a question or an exclamation mark."""

import re

COMMENT = re.compile(r"<!--.*?-->", flags=re.DOTALL)
NO_PROSE = re.compile(r"```.*?```|^[ \t]*(?:\||#|!\[)[^\n]*$", flags=re.DOTALL | re.MULTILINE)
CODE, LINK = re.compile(r"`[^`]*`"), re.compile(r"\[([^\]]*)\]\([^)]*\)")
END = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'(*0-9])")
NUMBER = re.compile(r"(?<![\w.,-])[−+-]?\d+(?:[.,]\d+)*(?!\w|[-.,]\w)")
ITEM = re.compile(r"\n\s*(?:[-*]|\d+\.)\s+|\n\s*\n")


def sentences(page: str) -> list[str]:
    """The sentences of a page; code blocks, tables, headings and pictures are left out, code in a line is a word."""
    text = NO_PROSE.sub("\n\n", COMMENT.sub("", page))
    parts = [" ".join(LINK.sub(r"\1", CODE.sub("X", part)).split()) for part in ITEM.split(f"\n{text}")]
    return [one for part in parts for one in END.split(part.replace("**", "")) if len(one.split()) > 2]


def numbers(sentence: str) -> list[str]:
    """The numbers of a sentence; a digit that belongs to a word, as in ROUGE-1, is none."""
    return NUMBER.findall(sentence)


def shown(page: str) -> str:
    """A page as it is read, without its comments and with single blanks."""
    return " ".join(COMMENT.sub("", page).split())
