"""What was published: figures as printed, and the files of outputs that they should follow from.

Both are stated in ``data/published/*.yaml``, whose README documents the keys.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from rouge_score.rouge_scorer import RougeScorer

from lunar.data.read import Number, records
from lunar.errors import Faults, LunarError, shown
from lunar.files import Row

Facts = Mapping[str, Any]

# Figures that a publication may print, and the splits each follows from.
FIGURES = {
    "forget_rouge1": ("Forget ROUGE-1", ["forget"]),
    "retain_rouge1": ("Retain ROUGE-1", ["retain"]),
    "ds": ("DS", ["forget", "retain"]),
    "rq": ("RQ", ["forget"]),
}


@dataclass(frozen=True)
class Outputs:
    """One published file of answers, with its mean ROUGE-1 recall."""

    path: Path
    rows: list[Row]
    rouge1: float


# Published files by setting and split.
Found = Mapping[tuple[str, str], Outputs]


def read_facts(path: str | Path) -> dict[str, Any]:
    """Read one file of published figures.

    Raises:
        LunarError: an unknown figure, or one that is not printed digits in quotes.
    """
    facts = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    for name, setting in facts["settings"].items():
        for figure, printed in setting["figures"].items():
            where = f"{path}: settings.{name}.figures"
            if figure not in FIGURES:
                raise LunarError(f"{where}: {figure!r} is none of {', '.join(FIGURES)}")
            if not isinstance(printed, str) or not printed.replace(".", "", 1).isdecimal():
                raise LunarError(f"{where}.{figure}: {printed!r} must be the digits as printed, in quotes")
    return facts


def read_answers(path: str | Path) -> list[Row]:
    """Read published outputs: rows with ``question``, ``prediction`` and ``answer``, in a form of ``lunar.data.read``.

    Raises:
        LunarError: no rows, or fields that are missing or no text (a prediction may be empty); names file and line.
    """
    faults = Faults()
    found = records(path, faults)
    for place, _, row in found:
        for field in ("question", "prediction", "answer"):
            value = row.get(field)
            if isinstance(value, Number) or not isinstance(value, str) or not (value.strip() or field == "prediction"):
                said = f"found {sorted(row)}" if field not in row else f"it is {shown(value)}"
                faults.append(f"{place}: field {field!r} must be text; {said}")
    faults.end()
    return [row for _, _, row in found]


def check_same_questions(rows: Sequence[Row], path: Path, others: Sequence[Row], other: Path) -> None:
    """Two files of one split must hold the same questions in the same order.

    Raises:
        LunarError: names the first line where they part.
    """
    for number, (row, counterpart) in enumerate(zip(rows, others, strict=False), start=1):
        if row["question"] != counterpart["question"]:
            raise LunarError(
                f"{path}:{number}: the question is {row['question']!r}, but {counterpart['question']!r} at "
                f"{other}:{number}; outputs of one split must answer the same questions in the same order"
            )
    if len(rows) != len(others):
        raise LunarError(
            f"{path if len(rows) > len(others) else other}:{min(len(rows), len(others)) + 1}: {path.name} holds "
            f"{len(rows)} rows, {other.name} {len(others)}; outputs of one split must answer the same questions"
        )


def read_outputs(facts: Facts, folder: Path | None) -> dict[tuple[str, str], Outputs]:
    """Every output file of a publication that is in ``folder``; missing ones are left out.

    Raises:
        LunarError: as ``read_answers`` and ``check_same_questions``.
    """
    found: dict[tuple[str, str], Outputs] = {}
    first: dict[str, Outputs] = {}
    for name, setting in facts["settings"].items():
        for split, file in setting.get("files", {}).items():
            if folder is None or not (folder / file).is_file():
                continue
            rows = read_answers(folder / file)
            if split in first:
                check_same_questions(rows, folder / file, first[split].rows, first[split].path)
            found[name, split] = Outputs(folder / file, rows, rouge1(rows))
            first.setdefault(split, found[name, split])
    return found


def rouge1(rows: Sequence[Row]) -> float:
    """Mean ROUGE-1 recall as publications compute it: by ``rouge_score``, which drops letters outside ASCII.

    ``lunar.metrics.text.rouge1`` counts them as letters, and so differs on names such as Müller.
    """
    scorer = RougeScorer(["rouge1"], use_stemmer=True)
    return float(np.mean([scorer.score(row["answer"], row["prediction"])["rouge1"].recall for row in rows]))
