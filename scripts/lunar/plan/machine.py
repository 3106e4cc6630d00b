"""What this machine has: memory and GPUs. Needs no torch; `check` and the page of provenance tell it."""

import math
import os
import subprocess
from typing import NamedTuple

OK, NOTE, STOP = "ok", "note", "MISSING"


class Line(NamedTuple):
    """One line of the listing.

    Attributes:
        state: ``OK``; ``NOTE`` for what a run goes on with; ``STOP`` for what would end it.
        what: what was looked for.
        found: what was found.
        remedy: what to do about it; empty where there is nothing to do.
    """

    state: str
    what: str
    found: str
    remedy: str = ""


def amount(size_in_bytes: float) -> str:
    """Bytes in GB, or in MB below a tenth of one."""
    return f"{size_in_bytes / 1e9:.1f} GB" if size_in_bytes >= 1e8 else f"{size_in_bytes / 1e6:.1f} MB"


def duration(seconds: float) -> str:
    """Seconds as readers see them: ``4.2 s``, ``3 min 20 s`` or ``2 h 5 min``."""
    if math.isnan(seconds):
        return "not measured"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def installed_memory() -> int:
    """Bytes of memory in this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def gpus(command: str | None) -> Line:
    """The GPUs that ``command``, a path of nvidia-smi, lists."""
    if command is None:
        return Line(NOTE, "GPU", "none seen: models run on the CPU")
    query = [command, "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        outcome = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Line(NOTE, "GPU", f"{command} cannot be run ({error})", "models run on the CPU, or repair the driver")
    if outcome.returncode or not outcome.stdout.strip():
        reason = (outcome.stderr or outcome.stdout).strip().splitlines()
        found = f"{command} lists none ({reason[0] if reason else 'no output'})"
        return Line(NOTE, "GPU", found, "models run on the CPU, or repair the driver")
    return Line(OK, "GPU", "; ".join(outcome.stdout.strip().splitlines()))


def largest_gpu(command: str) -> float:
    """Bytes of memory of the largest GPU that nvidia-smi, at path ``command``, lists; 0 if it lists none."""
    query = [command, "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        said = ""
    return max([int(number) for number in said.split() if number.isdigit()], default=0) * 2.0**20
