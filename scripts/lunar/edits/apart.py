"""Programs that run apart from this library, to show that what was written needs nothing of it."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any


def run_apart(program: str, task: Mapping[str, Any]) -> subprocess.CompletedProcess[str]:
    """Run a program in a process to which neither this library nor a path to it is known, and no hub.

    Args:
        program: path of a Python file. It reads its task from standard input as JSON.
        task: what it is to do.

    Returns:
        Its exit status, and what it wrote to standard output and error.
    """
    # Isolated (-I), so that no path leads here; without bytecode (-B), which would lie in a folder that is written.
    return subprocess.run(
        [sys.executable, "-IB", program],
        input=json.dumps(task),
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
