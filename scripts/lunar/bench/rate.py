"""How fast one core multiplies matrices of a small model's shapes, in the precision that models run in here.

    PYTHONPATH=scripts .venv/bin/python -m lunar.bench.rate

prints it as JSON, in half a second beside the import of torch. ``lunar.plan.estimate`` asks in a separate process,
since planning loads no torch.
"""

import json
import time

import torch

from lunar.model.load import bfloat16_gains

ROWS, WIDTH, INNER = 1024, 576, 1536  # tokens of a batch, and SmolLM2-135M's feed-forward part
SECONDS = 0.5


def core_rate(dtype: torch.dtype, seconds: float = SECONDS) -> float:
    """Operations a CPU second of one thread, the best of the products that fit into ``seconds``.

    CPU time is counted, and the best is taken, so that other work on the machine does not count.
    """
    torch.set_num_threads(1)
    left, right = torch.rand(ROWS, WIDTH).to(dtype), torch.rand(WIDTH, INNER).to(dtype)
    best, until = float("inf"), time.process_time() + seconds
    while time.process_time() < until:
        began = time.process_time()
        left @ right
        best = min(best, time.process_time() - began)
    return 2 * ROWS * WIDTH * INNER / best


if __name__ == "__main__":
    chosen = torch.bfloat16 if bfloat16_gains() else torch.float32
    print(json.dumps({"kind": str(chosen).removeprefix("torch."), "rate": core_rate(chosen)}))
