"""What is read of Snakemake's benchmark files and of its log. The one place that knows their form."""

import base64
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


class Record(NamedTuple):
    """What Snakemake recorded of a finished job.

    Attributes:
        rule: the job's.
        log: path of its log, by which a job is known.
        inputs: paths.
        outputs: paths.
        start: seconds since 1970.
        end: the same.
    """

    rule: str
    log: str
    inputs: list[str]
    outputs: list[str]
    start: float
    end: float


def records(folder: Path, made: Iterable[str]) -> list[Record]:
    """Every job that made one of some files, or an input of them, and so on; the earliest first.

    Args:
        folder: where Snakemake keeps its records, .snakemake/metadata.
        made: paths of files.

    Returns:
        Jobs whose record is there. Those of an interrupted run are left out.
    """
    found: dict[str, Record] = {}
    waiting, seen = list(made), set()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        file = folder / base64.b64encode(path.encode()).decode()
        if not file.is_file():  # a source, or a directory's content
            continue
        told = json.loads(file.read_text(encoding="utf-8"))
        if told["incomplete"] or not told["starttime"] or not told["log"]:
            continue
        log = told["log"][0]
        job = found.setdefault(
            log, Record(told["rule"], log, sorted(told["input"]), [], told["starttime"], told["endtime"])
        )
        job.outputs.append(path)
        waiting += job.inputs
    return sorted(found.values(), key=lambda job: (job.start, job.log))
