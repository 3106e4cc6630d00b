"""How far results vary from seed to seed: every number of each seed, and the page and caption made of them."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from lunar.pages.names import HEADLINES
from lunar.pages.removal import bound, shown

Seeds = Mapping[str, pd.DataFrame]

ATTACKED = "forget_rouge1"
NOT_JUDGED = "not judged, for no edit is attacked beside ``retain_only``"


def spread(tables: Seeds, attacks: Seeds) -> pd.DataFrame:
    """Every number once a seed.

    Args:
        tables: main tables as ``lunar.pages.main_table.wide`` gives them, by seed; one at least.
        attacks: tables of attacks (``lunar.pages.attacks.tabulate``) by seed; empty where none were run.

    Returns:
        A row a (method, attack, metric), in the tables' order, those of the attack ``none`` first: a column
        ``seed <seed>`` each, then ``mean``, ``deviation`` (of the sample, n - 1), ``lowest`` and ``highest``. Intervals
        and metrics that no seed has are left out.
    """
    columns = {}
    for seed, table in tables.items():
        under = attacks[seed][attacks[seed]["attack"] != "none"] if seed in attacks else table[:0]
        parts = [_stacked(part) for part in (table, under) if len(part)]
        columns[f"seed {seed}"] = pd.concat(parts)
    values = pd.DataFrame(columns).dropna(how="all")
    values = values.reindex(pd.concat(columns.values()).index.drop_duplicates().intersection(values.index, sort=False))
    values.index.names = ["method", "attack", "metric"]
    summary = values.agg(["mean", "std", "min", "max"], axis=1)
    summary.columns = ["mean", "deviation", "lowest", "highest"]
    return values.join(summary).reset_index()


def _stacked(table: pd.DataFrame) -> pd.Series:
    means = [name for name in table if name not in ("method", "attack") and not name.endswith(("_low", "_high"))]
    return table.set_index(["method", "attack"])[means].astype(float).stack()


def _cells(found: pd.DataFrame, order: Sequence[Any], digits: int) -> list[dict[str, str]]:
    """A cell an entry of ``order``, which index ``found``: mean and deviation, and below each seed's number."""
    cells = []
    for key in order:
        if key not in found.index:
            cells.append({"text": "", "seeds": ""})
            continue
        row = found.loc[key]
        each = [row[name] for name in found if name.startswith("seed ")]
        numbers = " · ".join("–" if pd.isna(value) else f"{value:.{digits}f}" for value in each)
        cells.append({"text": f"{row['mean']:.{digits}f} ± {row['deviation']:.{digits}f}", "seeds": numbers})
    return cells


def headline(table: pd.DataFrame) -> list[dict[str, Any]]:
    """A row a method with its headline numbers, as ``cells`` in the order of ``HEADLINES``."""
    alone = table[table["attack"] == "none"]
    found = alone.set_index(["method", "metric"])
    rows = []
    for method in dict.fromkeys(alone["method"]):
        cells = [_cells(found, [(method, name)], 1 if name == "ds" else 3)[0] for name in HEADLINES.values()]
        rows.append({"method": method, "cells": cells})
    return rows


def attacked(table: pd.DataFrame) -> dict[str, Any]:
    """Forget ROUGE-1 under each attack: ``methods``, and ``rows`` with the ``attack`` and a cell a method."""
    under = table[(table["attack"] != "none") & (table["metric"] == ATTACKED)]
    methods = list(dict.fromkeys(under["method"]))
    found = under.set_index(["attack", "method"])
    rows = [
        {"attack": attack, "cells": _cells(found, [(attack, method) for method in methods], 3)}
        for attack in dict.fromkeys(under["attack"])
    ]
    return {"methods": methods, "rows": rows}


def lines(removal: Seeds) -> dict[str, Any]:
    """Lines that tell removed from hidden (``lunar.pages.removal.judge``), a row each and in it a cell a method.

    A cell has each seed's value, ``kept`` (of how many seeds) and whether that is all.
    """
    together = pd.concat(removal.values(), keys=removal, names=["seed"])
    methods = list(dict.fromkeys(together["method"]))
    rows = []
    for line in dict.fromkeys(together["line"]):
        cells = []
        for method in methods:
            here = together[(together["line"] == line) & (together["method"] == method)]
            kept = sum(value is True for value in map(_truth, here["kept"]))
            cells.append(
                {
                    "seeds": " · ".join(shown(line, value) or "–" for value in here["value"]),
                    "attacks": " · ".join(dict.fromkeys(here["attack"].dropna())),
                    "kept": f"{kept} of {len(here)}",
                    "whole": kept == len(here),
                }
            )
        rows.append({"line": line, "bound": bound(line), "cells": cells})
    return {"methods": methods, "rows": rows}


def _truth(value: Any) -> bool | None:
    # As read back from CSV, where a line that was not measured makes the column one of objects.
    return None if pd.isna(value) else str(value) == "True"


def numbers(removal: Seeds) -> dict[str, str]:
    """What the caption says: the lines that each method keeps, seed by seed."""
    if not removal:
        return {"kept": NOT_JUDGED}
    first = next(iter(removal.values()))
    whole = first["line"].nunique()

    def count(table: pd.DataFrame, method: str) -> int:
        return sum(value is True for value in map(_truth, table[table["method"] == method]["kept"]))

    kept = {method: [str(count(table, method)) for table in removal.values()] for method in first["method"].unique()}
    return {"kept": "; ".join(f"{method} {', '.join(counts)}" for method, counts in kept.items()) + f" of {whole}"}
