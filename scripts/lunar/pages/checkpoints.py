"""Models from elsewhere: what they are, whether they belong to the model before, and what unlearning changed."""

import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

COLUMNS = ("method", "weight", "block", "norm", "share", "directions")
MODULE = re.compile(r".*layers\.\d+\.(?P<name>.+)\.(?P<part>weight|bias)$")


def table(facts: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Every changed weight: a row a method and weight, with ``COLUMNS``; see ``lunar.methods.changes.changes``.

    Args:
        facts: what a look at each model has found, by method.
    """
    rows = [{"method": method} | one for method, found in facts.items() for one in found["changes"]]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"block": "Int64", "directions": "Int64"})


def module(weight: str) -> str:
    """What a weight's column is called: the module within its block, or the whole name outside of the blocks."""
    found = MODULE.match(weight)
    if not found:
        return weight.removesuffix(".weight")
    return found["name"] + (" (bias)" if found["part"] == "bias" else "")


def grid(found: Mapping[str, Any]) -> dict[str, Any]:
    """What changed in one model, a line a block and a column a module.

    Returns:
        ``modules`` and ``lines``: each with the ``block`` (blank outside of the blocks) and by module the ``share`` in
        per cent and ``directions``.
    """
    modules = list(dict.fromkeys(module(one["weight"]) for one in found["changes"]))
    lines: dict[Any, dict[str, dict[str, str]]] = {}
    for one in found["changes"]:
        counted = "" if one["directions"] is None else f"{one['directions']:,}"
        cell = {"share": f"{one['share']:.2%}", "directions": counted}
        lines.setdefault(one["block"], {})[module(one["weight"])] = cell
    rows = [
        {"block": "" if block is None else block, "cells": [lines[block].get(name) for name in modules]}
        for block in sorted(lines, key=lambda block: -1 if block is None else block)
    ]
    return {"modules": modules, "lines": rows}


def origin(stated: Mapping[str, Any]) -> str:
    """Where a model comes from, in words."""
    [(kind, where)] = stated.items()
    if kind == "hub":
        return f"{where['id']} of the Hugging Face hub, revision {where['revision']}"
    return f"adapter in {where}" if kind == "adapter" else f"folder {where}"


def shown(facts: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What the page says of each model."""
    return [
        {
            "method": method,
            "origin": origin(found["origin"]),
            "done": found["done"],
            "summary": found["summary"],
            "share": f"{found['summary']['share']:.2%}",
            "known": found["known"],
            "digests": found["model"],
        }
        | grid(found)
        for method, found in facts.items()
    ]
