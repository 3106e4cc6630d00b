"""Locks that end with their process, so that two jobs never write one file.

A job lives on when Snakemake alone is killed. After ``--unlock`` another Snakemake starts the same job beside it.
"""

import fcntl
import hashlib
import json
import logging
import os
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

from lunar.errors import LunarError

# In the work folder, where every node of a cluster sees it and where nobody looks for results.
FOLDER = Path(".snakemake/lunar")
STARTED = time.time()

# An open file is locked until it is closed: at the latest when the process ends, however it ends.
_held: dict[str, tuple[Path, IO[str]]] = {}


def hold(path: str | Path, wait: float = 1.0) -> None:
    """Be the only process that works on ``path``, until ``release`` or the end of this process.

    Waits while another process holds it, and says on the screen which one that is. A process that holds it already goes
    on. A file system without locks (some of NFS and Lustre) gets a warning instead.

    Args:
        path: what is written, or stands for it; need not exist.
        wait: seconds between two looks.

    Raises:
        LunarError: this process waited for one that started later, so that it is the older one, which Snakemake has
            given up; what it would write is there already.
    """
    key = os.path.realpath(path)
    name = FOLDER / f"{hashlib.sha256(key.encode(errors='surrogateescape')).hexdigest()[:16]}.lock"
    waited_for: dict[str, object] = {}
    while key not in _held:
        try:
            name.parent.mkdir(parents=True, exist_ok=True)
            file = name.open("a+", encoding="utf-8")
        except OSError as error:
            _warn(path, error)
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not waited_for and (waited_for := _holder(file)):
                print(_waiting(path, waited_for), file=sys.stderr, flush=True)
            file.close()
            time.sleep(wait)
            continue
        except OSError as error:
            file.close()
            _warn(path, error)
            return
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), name.stat()):
                file.truncate(0)
                job = os.environ.get("SLURM_JOB_ID")
                json.dump({"pid": os.getpid(), "host": socket.gethostname(), "job": job, "started": STARTED}, file)
                file.flush()
                _held[key] = (name, file)
                break
        file.close()  # another process released it, and took its name away, between opening and locking
    if float(str(waited_for.get("started", 0))) > STARTED:
        release(path)
        raise LunarError(f"{path}: a later run has made this; this job is left over from an earlier one and ends")


def release(path: str | Path) -> None:
    """Let others work on ``path``."""
    name, file = _held.pop(os.path.realpath(path), (None, None))
    if name is not None and file is not None:
        name.unlink(missing_ok=True)
        file.close()


def _holder(file: IO[str]) -> dict[str, object]:
    """What the holder wrote into its lock; nothing for a moment while it writes."""
    file.seek(0)
    with suppress(ValueError):
        found = json.load(file)
        if isinstance(found, dict) and {"pid", "host", "job", "started"} <= found.keys():
            return found
    return {}


def _waiting(path: str | Path, holder: dict[str, object]) -> str:
    here = holder["host"] == socket.gethostname()
    end = f"scancel {holder['job']}" if holder["job"] else f"kill {holder['pid']}"
    return (
        f"  {path} | a job of an earlier run is still at work here: process {holder['pid']}"
        f"{'' if here else ' on ' + str(holder['host'])}; waiting for it to end ({end} ends it)"
    )


def _warn(path: str | Path, error: OSError) -> None:
    logging.getLogger(__name__).warning(
        "%s: this file system gives no lock (%s); make sure that no job of an earlier run is at work", path, error
    )
