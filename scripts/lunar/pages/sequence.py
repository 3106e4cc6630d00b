"""What requests in sequence did, from the answers after each: a table and the numbers that its caption reads."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from lunar.errors import LunarError
from lunar.metrics.text import refusal, rouge1

WAYS = {
    "vanilla": "Before any request",
    "composed": "An edit each, added up",
    "joint": "One solve for all requests so far",
    "undone": "Composed edits, taken back",
}


def tabulate(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The table: a row a (state, set).

    Args:
        rows: answers with ``way``, ``after``, ``forgotten`` and ``set``; those of the way ``vanilla`` come first.

    Returns:
        Columns ``way``, ``after`` (the request served, or taken back), ``set``, ``forgotten`` (whether a request for
        it is in force), ``n``, ``rouge1`` (recall), ``refusal`` and ``as_vanilla`` (shares of answers), in the rows'
        order.
    """
    vanilla = {(row["set"], row["id"]): row["prediction"] for row in rows if row["way"] == "vanilla"}
    found = [
        {key: row[key] for key in ("way", "after", "set", "forgotten")}
        | {"rouge1": rouge1(row), "refusal": refusal(row)}
        | {"as_vanilla": float(row["prediction"] == vanilla[row["set"], row["id"]]), "n": 1}
        for row in rows
    ]
    how = dict.fromkeys(("rouge1", "refusal", "as_vanilla"), "mean") | {"n": "sum"}
    groups = pd.DataFrame(found).groupby(["way", "after", "set", "forgotten"], sort=False)
    table = groups.agg(how).reset_index()
    return table[["way", "after", "set", "forgotten", "n", "rouge1", "refusal", "as_vanilla"]]


def numbers(table: pd.DataFrame, requests: Sequence[str]) -> dict[str, Any]:
    """What the caption says.

    Args:
        table: as ``tabulate`` gives it.
        requests: names of the requests' sets, in order.

    Raises:
        LunarError: answers after taking back all requests differ from those before: a defect.
    """
    state = {key: part.set_index("set") for key, part in table.groupby(["way", "after"], sort=False)}
    last = requests[-1]
    before, end = state["vanilla", "before"], state["undone", "all"]
    if (end["as_vanilla"] < 1).any():
        raise LunarError("after all requests were taken back the model does not answer as before; this is a defect")
    first = requests[0]
    result: dict[str, Any] = {"count": len(requests), "first": first, "last": last}
    for way in ("composed", "joint"):
        own = {name: state[way, name]["rouge1"][name] for name in requests}
        rises = {
            (name, other): state[way, other]["rouge1"][name] - own[name]
            for number, name in enumerate(requests)
            for other in requests[number + 1 :]
        }
        name, other = max(rises, key=lambda pair: rises[pair])
        now = state[way, last]
        result |= {
            f"{way}_own": float(own[first]),
            f"{way}_first": float(now["rouge1"][first]),
            f"{way}_first_refused": float(now["refusal"][first]),
            f"{way}_rise": f"{rises[name, other]:+.2f}",
            f"{way}_rise_where": f"{name}, when {other} was forgotten",
            f"{way}_forgotten": float(now["rouge1"][list(requests)].max()),
            f"{way}_retain": float(now["rouge1"]["retain"]),
            f"{way}_general": float(now["refusal"]["general"]),
        }
    result |= {"before_first": float(before["rouge1"][first]), "before_retain": float(before["rouge1"]["retain"])}
    result["before_general"] = float(before["refusal"]["general"])
    undone = state["undone", first]
    result["undone_first"] = float(undone["rouge1"][first])
    result["undone_others"] = float(undone["rouge1"][list(requests[1:])].max())
    return result


def page(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The table for readers: a part a way, in it a row a state with a cell a set."""
    parts = []
    for way, title in WAYS.items():
        rows = []
        for after, state in table[table["way"] == way].groupby("after", sort=False):
            cells = [
                {
                    "rouge1": f"{one['rouge1']:.3f}",
                    "refusal": f"{one['refusal']:.2f}",
                    "as_vanilla": f"{one['as_vanilla']:.2f}",
                    "forgotten": bool(one["forgotten"]),
                }
                for one in state.to_dict("records")
            ]
            rows.append({"after": after, "cells": cells})
        parts.append({"title": title, "rows": rows})
    return parts
