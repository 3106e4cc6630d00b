"""Where results come from: versions, machine, seeds, and what the jobs took. Differs from machine to machine."""

import importlib.metadata
import os
import platform
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from lunar.model.hardware import amount, gpus, installed_memory

COLUMNS = ("rule", "jobs", "seconds", "cpu_seconds", "longest_seconds", "peak_mb")


def by_rule(jobs: Sequence[tuple[str, Mapping[str, float]]]) -> pd.DataFrame:
    """Jobs summed by rule, columns as in ``COLUMNS``, the rule that took most time first.

    Args:
        jobs: rule and measured numbers of each, as ``lunar.plan.snakemake_files.benchmarks`` reads them.
    """
    rows = [{"rule": rule} | numbers for rule, numbers in jobs]
    grouped = pd.DataFrame(rows, columns=["rule", "s", "cpu_time", "max_rss"]).groupby("rule")
    table = pd.DataFrame(
        {
            "jobs": grouped.size(),
            "seconds": grouped["s"].sum(),
            "cpu_seconds": grouped["cpu_time"].sum(),
            "longest_seconds": grouped["s"].max(),
            "peak_mb": grouped["max_rss"].max(),
        }
    )
    return table.reset_index().sort_values(["seconds", "rule"], ascending=[False, True])[list(COLUMNS)]


def duration(seconds: float) -> str:
    """Seconds as readers see them: ``4.2 s``, ``3 min 20 s`` or ``2 h 5 min``."""
    if pd.isna(seconds):
        return "not measured"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def readable(table: pd.DataFrame) -> list[list[str]]:
    """The lines of ``by_rule`` as readers see them, then that of all of them."""
    total = {"rule": "all", "jobs": table["jobs"].sum(), "peak_mb": table["peak_mb"].max()}
    total |= {name: table[name].sum() for name in ("seconds", "cpu_seconds")}
    total["longest_seconds"] = table["longest_seconds"].max()
    return [
        [
            row["rule"],
            f"{row['jobs']:,.0f}",
            *(duration(row[name]) for name in ("seconds", "cpu_seconds", "longest_seconds")),
            "not measured" if pd.isna(row["peak_mb"]) else f"{row['peak_mb']:,.0f}",
        ]
        for row in [*table.to_dict("records"), total]
    ]


def versions(
    requirements: str, installed: Callable[[str], str] = importlib.metadata.version
) -> list[tuple[str, str, str]]:
    """Name, pinned version and installed one (empty for none) of each package that requirements.txt pins."""
    found = []
    for name, pinned in re.findall(r"^([\w.-]+)(?:\[.*?\])?==(\S+)", requirements, flags=re.MULTILINE):
        try:
            found.append((name, pinned, installed(name)))
        except importlib.metadata.PackageNotFoundError:
            found.append((name, pinned, ""))
    return found


def processor(information: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's name, as Linux knows it in ``information``, or as Python does."""
    if information.is_file():
        text = information.read_text(encoding="utf-8", errors="replace")
        if found := re.search(r"^model name\s*:\s*(.+)$", text, flags=re.MULTILINE):
            return found[1].strip()
    return platform.processor() or platform.machine()


def commit(folder: Path) -> str:
    """The commit of a checkout, and whether it was changed since; or that it is none."""
    command = ["git", "-C", str(folder), "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty= and changes"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        said = ""
    return said or "not a git checkout"


def machine(gpu_command: str | None, project: Path) -> dict[str, str]:
    """What this runs on, by what a page calls it; ``gpu_command`` is the path of nvidia-smi, if there is one."""
    return {
        "Processor": f"{processor()}, {os.cpu_count()} cores",
        "Memory": amount(installed_memory()),
        "GPU": gpus(gpu_command)[1],
        "System": platform.platform(),
        "Python": platform.python_version(),
        "Code": commit(project),
    }


def seeds(settings: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Every key ``seed`` or ``seeds`` of a configuration, as a dotted name, with its value."""
    if not isinstance(settings, Mapping):
        return
    for key, value in settings.items():
        if key in ("seed", "seeds"):
            yield f"{place}{key}", value
        else:
            yield from seeds(value, f"{place}{key}.")
