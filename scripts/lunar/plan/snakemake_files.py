"""What is read of Snakemake's benchmark files and of its log. The one place that knows their form."""

import csv
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

# A line of a job's log that says how it ended (lunar.progress).
END = re.compile(r"^\d\d:\d\d:\d\d (done in|error:|failed:|interrupted)", re.MULTILINE)


def killed(logs: Iterable[str]) -> list[str]:
    """Logs of failed jobs that say nothing of their end: each was killed while it was at work.

    Args:
        logs: Snakemake's own, of one run.
    """
    said = "\n".join(Path(log).read_text(encoding="utf-8", errors="replace") for log in logs)
    named = re.findall(r"^ *log: (.+) \(check log file", said, flags=re.MULTILINE)
    there = [path for path in dict.fromkeys(named) if Path(path).is_file()]  # else it did not even start
    texts = {path: Path(path).read_text(encoding="utf-8", errors="replace") for path in there}
    # A report is written by another Snakemake, whose log begins with its own words.
    return [path for path, text in texts.items() if re.match(r"\d\d:|\Z", text) and not END.search(text)]


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
