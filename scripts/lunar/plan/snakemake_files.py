"""What is read of Snakemake's benchmark files and of its log. The one place that knows their form."""

import csv
import json
import math
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

Job = tuple[str, Mapping[str, str]]  # rule and wildcards
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


class Measured(NamedTuple):
    """What a job took.

    Attributes:
        rule: the job's.
        wildcards: as its file is named by them.
        numbers: as ``read_benchmark`` gives them.
    """

    rule: str
    wildcards: dict[str, str]
    numbers: dict[str, float]


def planned(
    snakefile: str, configuration: Mapping[str, Any], patterns: Mapping[str, Sequence[str]]
) -> list[Job] | None:
    """Jobs that a run would have, as another Snakemake lists them; it plans in this folder, and runs nothing.

    Args:
        snakefile: path of the workflow.
        configuration: all of it.
        patterns: regular expressions of each rule's outputs.

    Returns:
        Rule and wildcards of each job; None where Snakemake fails, which then says why in the run itself.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        json.dump(configuration, file)
        file.flush()
        command = [sys.executable, "-m", "snakemake", "all", "--summary", "--nolock", "-s", snakefile]
        said = subprocess.run([*command, "--configfile", file.name], capture_output=True, text=True, check=False)
    if said.returncode:
        return None
    jobs = {}
    for row in csv.DictReader(said.stdout.splitlines(), delimiter="\t"):
        found = [re.fullmatch(one, row["output_file"]) for one in patterns.get(row["rule"], ())]
        wildcards = next((one.groupdict() for one in found if one), None)
        if row["plan"] == "update pending" and wildcards is not None:
            jobs[row["rule"], *sorted(wildcards.items())] = (row["rule"], wildcards)
    return list(jobs.values())


def benchmarks(results: Path, patterns: Mapping[str, str]) -> list[Measured]:
    """What each job took that left a benchmark file; those that have not run are not there.

    Args:
        results: the folder of results.
        patterns: for each rule a regular expression of its benchmark files' paths, which start with that folder.

    Returns:
        Each job, by the path of its file.
    """
    found = []
    for path in sorted([*results.glob("benchmarks/*.tsv"), *results.glob("*/benchmarks/*.tsv")]):
        for rule, pattern in patterns.items():
            if named := re.fullmatch(pattern, path.as_posix()):
                found.append(Measured(rule, named.groupdict(), read_benchmark(path)))
                break
    return found
