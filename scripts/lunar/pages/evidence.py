"""Examples of what attacks brought back, and the evidence that each attack happened."""

from collections.abc import Mapping, Sequence
from typing import Any

from lunar.data.rows import gold_text
from lunar.metrics.refusal import classify
from lunar.metrics.text import rouge1
from lunar.pages.attacks import Pair
from lunar.pages.names import CONTROL

Rows = Sequence[Mapping[str, Any]]


def examples(
    attacked: Mapping[Pair, Rows], unattacked: Mapping[str, Rows], edited: Sequence[str], count: int
) -> dict[str, list[dict[str, Any]]]:
    """The forget questions that attacks brought most back of, by method.

    Args:
        attacked: answers to the forget set by pair.
        unattacked: answers to it by method, when left alone.
        edited: methods to show.
        count: questions a method, at most.

    Returns:
        By method, most regained first: ``question`` as it is left alone, ``asked`` under attack, ``gold`` (what the
        answer is judged by), ``attack`` (of all the one that gains most on this question), the texts ``unattacked``,
        ``attacked`` and ``control`` (``retain_only`` under that attack; None where it is not attacked), their ROUGE-1
        ``before`` and ``after``, ``gain``, and the ``kinds`` of the two answers, as ``lunar.metrics.refusal`` has them.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for method in edited:
        left_alone = {row["id"]: row for row in unattacked[method]}
        best: dict[str, dict[str, Any]] = {}
        for (owner, attack), rows in attacked.items():
            if owner != method:
                continue
            controls = {row["id"]: row["prediction"] for row in attacked.get((CONTROL, attack), [])}
            for row in rows:
                other = left_alone[row["id"]]
                before, after = rouge1({**row, "prediction": other["prediction"]}), rouge1(row)
                if after - before > max(0.0, best.get(row["id"], {}).get("gain", 0.0)):
                    best[row["id"]] = {
                        "question": other["question"],
                        "asked": row["question"],
                        "gold": gold_text(row),
                        "attack": attack,
                        "unattacked": other["prediction"],
                        "attacked": row["prediction"],
                        "control": controls.get(row["id"]),
                        "before": before,
                        "after": after,
                        "gain": after - before,
                        "kinds": [classify(other["prediction"]), classify(row["prediction"])],
                    }
        found[method] = sorted(best.values(), key=lambda one: -one["gain"])[:count]
    return found


def brief(value: Any) -> str:
    """A value of evidence in a few characters: many numbers by their range, long texts cut."""
    if isinstance(value, Mapping):
        return brief(list(value.values())) if len(value) > 6 else ", ".join(f"{k} {brief(v)}" for k, v in value.items())
    if isinstance(value, list | tuple):
        if len(value) <= 3:
            return ", ".join(map(brief, value))
        if all(isinstance(one, int | float) for one in value):
            return f"{len(value)} from {brief(min(value))} to {brief(max(value))}"
        return f"{len(value)} entries"
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, float):
        return f"{value:.3g}"
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def evidence_page(
    controls: Mapping[str, Mapping[str, Any]], evidence: Mapping[Pair, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """For readers, a part an attack: what its control measured, and what was measured of each method, in short.

    Returns:
        Parts with ``attack``, ``control`` (pairs of name and text), ``columns`` and ``rows`` (``method``, ``cells``).
    """
    parts = []
    for attack, control in controls.items():
        found = {method: facts for (method, one), facts in evidence.items() if one == attack}
        columns = list(dict.fromkeys(key for facts in found.values() for key in facts))
        rows = [
            {"method": method, "cells": [brief(facts[key]) if key in facts else "" for key in columns]}
            for method, facts in found.items()
        ]
        texts = [(key, brief(value)) for key, value in control.items()]
        parts.append({"attack": attack, "control": texts, "columns": columns, "rows": rows})
    return parts
