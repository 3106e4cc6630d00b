"""The processor that a job computes on: a GPU that no other job uses, if there is a GPU."""

import fcntl
import logging
import os
import tempfile
import time
from pathlib import Path
from typing import IO

import torch

# Open files are locked as long as they are open: until the process ends, however it ends.
_held: dict[int, IO[str]] = {}


def own_device(wait: float = 1.0) -> torch.device:
    """The CPU where there is no GPU; else one that no other job of this user on this machine computes on.

    Locks are by the GPU's own number (UUID), so jobs that a cluster shows different GPUs do not meet. Where all are
    taken, this waits for the first to come free, looking every ``wait`` seconds. A second call gives the same GPU.
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    waiting = False
    while not _held:
        for index in range(torch.cuda.device_count()):
            name = f"lunar-{os.getuid()}-{torch.cuda.get_device_properties(index).uuid}.lock"
            file = (Path(tempfile.gettempdir()) / name).open("w")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                continue
            _held[index] = file
            torch.cuda.set_device(index)  # for libraries that take the current one
            break
        else:
            if not waiting:
                logging.getLogger(__name__).warning("every GPU is taken by another job; waiting for one")
                waiting = True
            time.sleep(wait)
    return torch.device("cuda", next(iter(_held)))
