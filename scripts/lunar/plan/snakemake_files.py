"""What jobs read of Snakemake: a rule's named inputs, and benchmark files. The one place that knows their form."""

import csv
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lunar.files import read_json


def inputs_named(prefix: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """A rule's inputs whose name starts with ``prefix_``, by the rest of their name."""
    return {name.removeprefix(f"{prefix}_"): path for name, path in inputs.items() if name.startswith(f"{prefix}_")}


def chosen_values(choices: Mapping[str, Sequence[str]], paths: Sequence[str]) -> dict[str, Any]:
    """Settings that rehearsals chose.

    Args:
        choices: the keys to take, by the method that was rehearsed.
        paths: what each of these rehearsals wrote, in the same order.
    """
    found = {}
    for keys, path in zip(choices.values(), paths, strict=True):
        chosen = read_json(path)["chosen"]
        found |= {key: chosen[key] for key in keys}
    return found


def read_benchmark(path: str | Path) -> dict[str, float]:
    """Numbers of a job's benchmark file by column; NaN where the job was too short to be measured (``NA`` or ``-``).

    Columns that are used: ``s`` and ``cpu_time`` (seconds), ``max_rss`` (MB of 2^20 bytes).
    """

    def number(text: str) -> float:
        try:
            return float(text)
        except ValueError:
            return math.nan

    with Path(path).open(encoding="utf-8", newline="") as file:
        row = next(csv.DictReader(file, delimiter="\t"), {})
    return {name: number(text) for name, text in row.items()}


def benchmarks(results: Path, patterns: Mapping[str, str]) -> list[tuple[str, dict[str, float]]]:
    """What each job took that left a benchmark file; those that have not run are not there.

    Args:
        results: the folder of results.
        patterns: for each rule a regular expression of its benchmark files' paths, which start with that folder.

    Returns:
        Rule and numbers (``read_benchmark``) of each job, by the path of its file.
    """
    found = []
    for path in sorted([*results.glob("benchmarks/*.tsv"), *results.glob("*/benchmarks/*.tsv")]):
        rule = next((rule for rule, pattern in patterns.items() if re.fullmatch(pattern, path.as_posix())), None)
        if rule is not None:
            found.append((rule, read_benchmark(path)))
    return found
