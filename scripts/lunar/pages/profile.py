"""Where the time went: what jobs took, summed by rule. Differs from machine to machine."""

from collections.abc import Sequence

import pandas as pd

from lunar.plan.machine import duration
from lunar.plan.snakemake_files import Measured

COLUMNS = ("rule", "jobs", "cpu_seconds", "share", "seconds", "longest_seconds", "peak_mb")
TITLES = ("Rule", "Jobs", "CPU time", "Share", "Time", "Longest job", "Peak memory, MB")


def by_rule(jobs: Sequence[Measured]) -> pd.DataFrame:
    """Jobs summed by rule, columns as in ``COLUMNS``, the rule that took most CPU time first.

    Args:
        jobs: as ``lunar.plan.snakemake_files.benchmarks`` reads them.

    Returns:
        ``share`` is of the CPU time of all rules; ``seconds`` are of the clock, one job after another; ``peak_mb`` are
        MB of 2^20 bytes.
    """
    rows = [{"rule": one.rule} | one.numbers for one in jobs]
    grouped = pd.DataFrame(rows, columns=["rule", "s", "cpu_time", "max_rss"]).groupby("rule")
    processor = grouped["cpu_time"].sum()
    table = pd.DataFrame(
        {
            "jobs": grouped.size(),
            "cpu_seconds": processor,
            "share": processor / processor.sum() if processor.sum() else 0.0,
            "seconds": grouped["s"].sum(),
            "longest_seconds": grouped["s"].max(),
            "peak_mb": grouped["max_rss"].max(),
        }
    )
    return table.reset_index().sort_values(["cpu_seconds", "rule"], ascending=[False, True])[list(COLUMNS)]


def by_job(jobs: Sequence[Measured]) -> pd.DataFrame:
    """The jobs one by one, the dearest first; ``name`` is the method, where they have one."""
    rows = [
        {"rule": one.rule, "name": one.wildcards.get("method", "")}
        | {
            title: one.numbers[key]
            for title, key in (("cpu_seconds", "cpu_time"), ("seconds", "s"), ("peak_mb", "max_rss"))
        }
        for one in jobs
    ]
    table = pd.DataFrame(rows, columns=["rule", "name", "cpu_seconds", "seconds", "peak_mb"])
    return table.sort_values(["cpu_seconds", "rule", "name"], ascending=[False, True, True])


def readable(table: pd.DataFrame) -> list[list[str]]:
    """The lines of ``by_rule`` as readers see them, under ``TITLES``, then that of all of them."""
    total = {"rule": "all", **{name: table[name].sum() for name in ("jobs", "cpu_seconds", "share", "seconds")}}
    total |= {name: table[name].max() for name in ("longest_seconds", "peak_mb")}
    return [
        [
            row["rule"],
            f"{row['jobs']:,.0f}",
            duration(row["cpu_seconds"]),
            f"{row['share']:.1%}",
            *(duration(row[name]) for name in ("seconds", "longest_seconds")),
            "not measured" if pd.isna(row["peak_mb"]) else f"{row['peak_mb']:,.0f}",
        ]
        for row in [*table.to_dict("records"), total]
    ]


def listing(table: pd.DataFrame) -> str:
    """``readable`` for a terminal: columns under their titles, names to the left and numbers to the right."""
    lines = [list(TITLES), *readable(table)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) for line in lines)
