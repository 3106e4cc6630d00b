"""Where results come from: versions, machine and seeds. Differs from machine to machine."""

import importlib.metadata
import os
import platform
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lunar.plan.machine import amount, gpus, installed_memory

# Flags of Linux: with another set of these, sums are rounded otherwise.
MULTIPLYING = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "sve", "bf16")


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


def instruction_sets(information: Path = Path("/proc/cpuinfo")) -> str:
    """Those of the processor by which models multiply matrices, as Linux lists them in ``information``."""
    text = information.read_text(encoding="utf-8", errors="replace") if information.is_file() else ""
    listed = re.search(r"^(?:flags|Features)\s*:(.+)$", text, flags=re.MULTILINE)
    found = [name for name in MULTIPLYING if listed and name in listed[1].split()]
    return ", ".join(found) or "not known"


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
        "Instruction sets": instruction_sets(),
        "Memory": amount(installed_memory()),
        "GPU": gpus(gpu_command).found,
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
