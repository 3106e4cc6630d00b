"""What this machine has: memory, and GPUs as nvidia-smi lists them. Needs no torch."""

import os
import subprocess


def amount(size_in_bytes: float) -> str:
    """Bytes in GB, or in MB below a tenth of one."""
    return f"{size_in_bytes / 1e9:.1f} GB" if size_in_bytes >= 1e8 else f"{size_in_bytes / 1e6:.1f} MB"


def installed_memory() -> int:
    """Bytes of memory in this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def gpus(command: str | None) -> tuple[bool, str]:
    """Whether there are GPUs, and which, or why none is seen; ``command`` is the path of nvidia-smi, if it is there."""
    if command is None:
        return False, "none seen: models run on the CPU"
    query = [command, "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        outcome = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return False, f"{command} cannot be run ({error})"
    if outcome.returncode or not outcome.stdout.strip():
        reason = (outcome.stderr or outcome.stdout).strip().splitlines()
        return False, f"{command} lists none ({reason[0] if reason else 'no output'})"
    return True, "; ".join(outcome.stdout.strip().splitlines())


def largest_gpu(command: str) -> float:
    """Bytes of memory of the largest GPU that nvidia-smi, at path ``command``, lists; 0 if it lists none."""
    query = [command, "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        said = ""
    return max([int(number) for number in said.split() if number.isdigit()], default=0) * 2.0**20
