"""The published figures of attacks beside ours."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from lunar.pages.attacks import ENDS, by_pair

NOT_AT_HAND, NOT_RUN = "not at hand", "not run here"
PUBLISHED_ON = "lunar-topk"


def published(
    paper: Mapping[str, Any], replication: Mapping[str, Any], table: pd.DataFrame, methods: Sequence[str]
) -> pd.DataFrame:
    """Paper, replication and ours, for the attacks that the replication ran.

    Args:
        paper: facts of ``data/published/paper.yaml``.
        replication: facts of ``data/published/replication.yaml``, where ``attacks`` of a setting names ours.
        table: as ``tabulate`` gives it.
        methods: ours to show.

    Returns:
        A row an attack of ours, the first without any: ``attack`` (as published), ``ours``, ``paper`` and
        ``replication`` (ROUGE-1 on the forget set as printed, on LUNAR with two layers), ``standing`` (``void``,
        ``doubtful`` or blank), ``reason``; and of each method ``<method>``, ``_low``, ``_high``, ``_unattacked``, blank
        where it was not run.
    """

    def printed(facts: Mapping[str, Any], setting: str) -> str:
        return facts["settings"].get(setting, {}).get("figures", {}).get("forget_rouge1", NOT_AT_HAND)

    pairs = by_pair(table)
    settings = {PUBLISHED_ON: {"title": "none", "attacks": ["none"]}}
    settings |= {name: entry for name, entry in replication["settings"].items() if "attacks" in entry}
    rows = []
    for name, entry in settings.items():
        standing = next((word for word in ("void", "doubtful") if word in entry), "")
        for attack in entry["attacks"]:
            row = {
                "attack": entry["title"].removeprefix("attack, "),
                "ours": attack,
                "paper": printed(paper, name),
                "replication": printed(replication, name),
                "standing": standing,
                "reason": entry.get(standing, ""),
            }
            for method in methods:
                found = pairs.get((method, attack), {})
                row |= {f"{method}{end}": found.get(f"forget_rouge1{end}") for end in ENDS}
                rise = found.get("forget_rouge1_vs_unattacked", math.nan)
                row[f"{method}_unattacked"] = found.get("forget_rouge1", math.nan) - rise
            rows.append(row)
    return pd.DataFrame(rows).astype({f"{method}{end}": float for method in methods for end in (*ENDS, "_unattacked")})


def published_page(table: pd.DataFrame, methods: Sequence[str]) -> list[dict[str, Any]]:
    """The table of published figures for readers: rows with a cell a method of ours."""
    rows = []
    for row in table.to_dict("records"):
        cells = []
        for method in methods:
            value, before = row[method], row[f"{method}_unattacked"]
            ran = not math.isnan(value)
            cells.append(
                {
                    "text": f"{value:.3f}" if ran else NOT_RUN,
                    "interval": f"{row[f'{method}_low']:.3f} to {row[f'{method}_high']:.3f}" if ran else "",
                    "unattacked": "" if math.isnan(before) else f"{before:.3f} unattacked",
                }
            )
        rows.append(row | {"cells": cells})
    return rows
