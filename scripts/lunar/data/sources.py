"""Published data sets in the project's row schema: what ``sources`` of the configuration makes of fetched files.

A source is a folder of files as published, in any form of ``lunar.data.read``. Each of its ``sets`` is some rows of one
of them, written as ``results/data/<source>/<set>.jsonl``, which the ``data`` section of an experiment names like any
other file. Needs no torch: the workflow asks here which files there will be, whenever the Snakefile is parsed.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lunar.data.rows import normalise
from lunar.errors import LunarError, shown
from lunar.files import Row

# What a row may keep beside question and answer, by the names that published sets have for it.
FIELDS = {
    "other_answers": "other_answers",
    "paraphrased_question": "paraphrased_question",
    "paraphrased_answer": "paraphrased_answer",
    "perturbed_answer": "perturbed_answers",
    "perturbed_answers": "perturbed_answers",
}
CAPITAL = r"[A-ZÀ-ÖØ-ÞĀ-ŽΆ-ΫЀ-ЯԱ-Ֆ][\w'’-]*"  # Latin, Greek, Cyrillic, Armenian; other scripts have no case
PARTICLE = r"(?:van|von|der|den|de|da|del|di|la|bin|ibn) "
RUN = re.compile(rf"(?<!\w){CAPITAL}(?: (?:{PARTICLE}){{0,2}}{CAPITAL})+")


def made(sources: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Source and set by the file that the workflow makes of them."""
    return {
        f"results/data/{name}/{one}.jsonl": (name, one) for name, source in sources.items() for one in source["sets"]
    }


def check(sources: Mapping[str, Any]) -> dict[str, Any]:
    """The same without files and settings of sets that are null, checked for what its settings cannot say.

    Raises:
        LunarError: a set names a file that its source has not, or rows that end before they start.
    """
    here = {}
    for name, source in sources.items():
        files = {key: file for key, file in source["files"].items() if file}
        sets = {one: _stated(entry) for one, entry in source["sets"].items()}
        here[name] = {**source, "files": files, "sets": sets}
    for name, source in here.items():
        for one, entry in source["sets"].items():
            where = f"sources.{name}.sets.{one}"
            if entry["file"] not in source["files"]:
                known = ", ".join(source["files"])
                known = f"is none of {known}" if known else "is not there: files names none"
                raise LunarError(f"{where}.file: {entry['file']!r} {known}")
            first, stop = entry.get("rows", (0, 1))
            if first >= stop:
                raise LunarError(f"{where}.rows: from {first} to {stop}, the latter not included, there is no row")
    return here


def _stated(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if value is not None}


def fetched(source: Mapping[str, Any]) -> dict[str, Any]:
    """What of a source its files depend on: all but its sets and the names of their fields, keys sorted."""
    return {key: source[key] for key in sorted(source) if key not in ("sets", "fields")}


def missing(source: Mapping[str, Any]) -> list[Path]:
    """Files of a local source that are not there."""
    folder = Path(source["folder"]).expanduser()
    return [folder / name for name in source["files"].values() if not (folder / name).is_file()]


def subject(rows: Sequence[Row]) -> str | None:
    """The full name of the person that rows are about: the name that most of them give.

    Names are two or more capitalised words in a row, parts of longer names included. Names that are in nearly as many
    rows as the most frequent one are candidates, and the longest is the full name. None if no name is in a third of the
    rows.
    """
    count: Counter[str] = Counter()
    for row in rows:
        found = set()
        for run in RUN.findall(f"{row['question']}\n{row['answer']}"):
            words = [re.sub(r"['’]s?$", "", word) for word in run.split()]
            ends = range(len(words) + 1)
            parts = {tuple(words[start:stop]) for start in ends for stop in ends if stop - start > 1}
            found |= {" ".join(part) for part in parts if part[0][0].isupper() and part[-1][0].isupper()}
        count.update(found)
    most = max(count.values(), default=0)
    if most <= len(rows) / 3:
        return None
    return max((name for name in count if count[name] >= 0.8 * most), key=lambda name: (len(name.split()), name))


def convert(
    files: Mapping[str, Sequence[tuple[str, int, Row]]], entry: Mapping[str, Any]
) -> tuple[list[Row], list[str]]:
    """The rows of one set.

    What another of the source's files says about the same question (paraphrases, wrong answers) is taken over, but for
    a wrong answer that is the right one. A row whose question the file asks before is left out, in whatever set it
    would be: nobody can tell the two apart.

    Args:
        files: the source's files, by their names in the configuration, as ``lunar.data.read.records`` reads them.
        entry: the set's section: ``file``; ``rows``, from which to before which; ``block``, the number of rows in turn
            that are about one subject.

    Returns:
        The rows, and the questions left out.

    Raises:
        LunarError: a row lacks question or answer, or there are fewer rows than ``rows`` asks for.
    """
    records = files[entry["file"]]
    rows = [row for _, _, row in records]
    first, stop = entry.get("rows", (0, len(rows)))
    if stop > len(rows):
        raise LunarError(f"{entry['file']}: rows {first} to {stop} are asked for, and there are {len(rows)}")
    lacking = [
        f"{place}: no text as {field!r}; it has {shown(sorted(row))}"
        for place, _, row in records
        for field in ("question", "answer")
        if not said(row.get(field))
    ]
    if lacking:
        raise LunarError(*lacking)
    added: dict[str, Row] = {}
    for name, other in files.items():
        for _, _, row in other if name != entry["file"] else ():
            added.setdefault(normalise(str(row.get("question"))), row)
    block = entry.get("block")
    names = {start: subject(rows[start : start + block]) for start in range(0, len(rows), block)} if block else {}
    seen: set[str] = set()
    kept, left_out = [], []
    for number, row in enumerate(rows[:stop]):
        key = normalise(row["question"])
        if number >= first and key in seen:
            left_out.append(row["question"])
        elif number >= first:
            author = names[number - number % block] if block else None
            full = {"question": row["question"], "answer": row["answer"]} | ({"author": author} if author else {})
            for origin in (added.get(key, {}), row):
                full |= {ours: origin[theirs] for theirs, ours in FIELDS.items() if origin.get(theirs)}
            kept.append(_wrong_only(full))
        seen.add(key)
    return kept, left_out


def said(value: Any) -> bool:
    """Whether a value is text, or a list of texts, that says something."""
    texts = value if isinstance(value, list) else [value]
    return bool(texts) and all(isinstance(text, str) and text.strip() for text in texts)


def _wrong_only(row: Row) -> Row:
    """A row without wrong answers that are the right one, of which published sets have some."""
    answers = row["answer"] if isinstance(row["answer"], list) else [row["answer"]]
    right = {normalise(text) for text in (*answers, row.get("paraphrased_answer", ""))}
    wrong = row.get("perturbed_answers")
    if not isinstance(wrong, list):
        return row
    return row | {"perturbed_answers": [text for text in wrong if normalise(str(text)) not in right]}
