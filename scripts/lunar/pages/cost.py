"""What each method costs: numbers that it trains and stores, memory and time.

Times and memory differ from run to run, so nothing here is part of what is compared byte by byte.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from lunar.files import read_json
from lunar.plan.snakemake_files import read_benchmark

COLUMNS = {
    "method": "Method",
    "trained": "Numbers trained",
    "stored_bytes": "Bytes stored",
    "peak_mb": "Peak memory, MB",
    "edit_seconds": "The edit, s",
    "rehearsal_seconds": "Rehearsal, s",
}


def cost(files: Mapping[str, str | Path]) -> dict[str, Any]:
    """What one method costs.

    Args:
        files: ``facts`` and ``cost`` (JSON), ``edit``, ``benchmark`` of making the edit, and ``rehearsal``, the
            benchmark of the rehearsal, where there was one.

    Returns:
        ``trained``, ``stored_bytes``, ``peak_mb`` (``max_rss`` of the whole job, in MB of 2^20 bytes), ``edit_seconds``
        (of the edit alone) and ``rehearsal_seconds`` (of the whole job; NaN without a rehearsal).
    """
    return {
        "trained": int(read_json(files["facts"])["trained"]),
        "stored_bytes": Path(files["edit"]).stat().st_size,
        "peak_mb": read_benchmark(files["benchmark"])["max_rss"],
        "edit_seconds": float(read_json(files["cost"])["seconds"]),
        "rehearsal_seconds": read_benchmark(files["rehearsal"])["s"] if "rehearsal" in files else float("nan"),
    }


def readable(table: pd.DataFrame) -> list[list[str]]:
    """The table's cells as readers see them."""

    def text(column: str, value: Any) -> str:
        if isinstance(value, float) and pd.isna(value):
            return "none" if column == "rehearsal_seconds" else "not measured"
        if column == "method":
            return str(value)
        return f"{value:,.2f}" if column == "edit_seconds" else f"{value:,.0f}"

    return [[text(column, row[column]) for column in COLUMNS] for row in table.to_dict("records")]
