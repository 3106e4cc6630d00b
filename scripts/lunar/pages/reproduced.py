"""Whether a run reproduces the recorded one: its headline numbers beside those of docs/recorded, with a verdict each.

A number reproduces if one of three things holds. They are tried in this order:

- ``same``: it equals the recorded number in the digits that the tables show.
- ``within the interval``: it lies in the recorded bootstrap 95% interval. That interval says how far the number would
  move with other questions of the same kind. A run asks the same questions, so the test is generous: it says that the
  difference is no larger than the luck of the questions. Where all questions agree (0 or 1 for each), the bootstrap
  sees no luck at all. The rule of three then gives the interval: at most 3 in n questions would differ.
- ``within the seeds' spread``: it lies where a further seed is expected, by the recorded runs with several seeds. This is
  the 95% prediction interval, mean ± t · s · √(1 + 1/n), for n seeds with deviation s. It supposes that seeds are
  normally distributed. The range of three seeds would be too narrow: a fourth leaves it half of the time.

What is left ``differs``. A number that is recorded and that this run could not measure is ``missing``; it counts as one
that does not reproduce. A method or attack that this run does not have is named and does not count.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from scipy.stats import t

from lunar.errors import LunarError
from lunar.pages.seeds import ATTACKED, HEADLINES

WORST = "worst attack"
SAME, INTERVAL, SPREAD, DIFFERS, MISSING = (
    "same",
    "within the interval",
    "within the seeds' spread",
    "differs",
    "missing",
)
REPRODUCED = (SAME, INTERVAL, SPREAD)
KEYS = ["method", "number"]


def read_table(path: str | Path, *columns: str) -> pd.DataFrame:
    """A table of docs/recorded, with method and attack as text.

    Args:
        path: a CSV file.
        columns: that it must have; ``method`` and ``attack`` are asked for too.

    Raises:
        LunarError: it is no such table; names the file and what is wrong.
    """
    put_back = "put the file back (git checkout), or take a run over again (docs/compare.md)"
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise LunarError(f"{path}: no table ({str(error).strip()}); {put_back}") from error
    if lacking := [name for name in ("method", "attack", *columns) if name not in table]:
        raise LunarError(f"{path}: no column {', '.join(lacking)}; {put_back}")
    names = [name for name in ("method", "attack", "metric") if name in table]
    if (twice := table[table.duplicated(names)]).size:
        raise LunarError(f"{path}:{twice.index[0] + 2}: a second row of {' '.join(twice.iloc[0][names])}; {put_back}")
    for name in {*HEADLINES.values(), *ATTACKED_COLUMNS, *columns} - {*names} & {*table}:
        values = pd.to_numeric(table[name], errors="coerce")
        if (odd := table[values.isna() & table[name].notna()]).size:
            raise LunarError(f"{path}:{odd.index[0] + 2}: {name} is {odd.iloc[0][name]!r} and no number; {put_back}")
    return table
