"""Answers of several methods to one question, beside each other on a terminal."""

from collections.abc import Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from lunar.data.rows import answered, gold_text, normalise
from lunar.files import Row
from lunar.metrics import text
from lunar.model.chat import Said


def find(question: str, rows: Mapping[str, Sequence[Row]]) -> tuple[str, Row] | None:
    """The first row that asks a question, with the title of its split; None where no row does.

    Args:
        question: as somebody typed it: case, blanks and final punctuation may differ from the row's.
        rows: by the title of their split.
    """
    asked = normalise(question)
    every = ((title, row) for title, some in rows.items() for row in some if "question" in row)
    return next((one for one in every if normalise(one[1]["question"]) == asked), None)


def outcome(row: Row) -> str:
    """The outcome of a row's prediction as ``lunar.metrics.text`` has it; ``answered`` where right cannot be told."""
    found = text.outcome(row | {"answer": row["answer"] or "?"})
    return found if row["answer"] or found in ("refused", "gibberish") else "answered"


def side_by_side(question: str, answers: Mapping[str, Said], known: tuple[str, Row] | None) -> Group:
    """A question, its gold answer where there is one, and a table with a row a method.

    Args:
        question: as it was asked.
        answers: by method.
        known: what ``find`` gives.

    Returns:
        What ``rich`` prints, 80 columns wide or as wide as the terminal.
    """
    title, row = known or ("", {})
    gold = gold_text(row) if row.get("answer") else ""
    head = [Text(question, style="bold")]
    if known:
        head.append(Text(f"{title}; gold answer: {gold}" if gold else f"{title}; no gold answer"))
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("method", no_wrap=True)
    table.add_column("outcome", no_wrap=True)
    if gold:
        table.add_column("ROUGE-1", justify="right", no_wrap=True)
    table.add_column("answer", ratio=1, overflow="fold")
    for method, said in answers.items():
        scored = answered(row | {"question": question}, str(said))
        cells = [method, outcome(scored), *([f"{text.rouge1(scored):.2f}"] if gold else [])]
        shown = Text(str(said).strip() or "(nothing)")
        table.add_row(*map(Text, cells), shown.append(" [cut]", style="dim") if said.cut else shown)
    return Group(*head, table)


def console() -> Console:
    """Where answers are printed: standard output, as plain text where it is no terminal."""
    return Console(highlight=False, markup=False, emoji=False, soft_wrap=False)
