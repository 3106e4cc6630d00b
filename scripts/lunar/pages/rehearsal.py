"""What the figure of rehearsals shows: scores by setting, the paper's layer score, and its caption's numbers."""

import ast
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from scipy.stats import spearmanr


def scores(path: str, grid_keys: Sequence[str]) -> pd.DataFrame:
    """Scores of the settings tried in one method's rehearsals, in the order of its table.

    Args:
        path: rehearsal/<method>.csv, with ``layers``, ``score`` and ``stopped``, a line a setting and pair of authors.
        grid_keys: names of settings that rehearsals choose, of this method or of others.

    Returns:
        A row a setting: ``layers`` as text, the grid's other keys, ``score`` (mean over pairs), ``pairs``, and
        ``stopped`` where the score is the least that it can be (``lunar.methods.rehearsal.stopped``).
    """
    table = pd.read_csv(path)
    table["layers"] = table["layers"].map(lambda text: ", ".join(map(str, ast.literal_eval(text))))
    others = [key for key in table.columns if key in grid_keys and key != "layers"]
    settings = table.groupby(["layers", *others], sort=False)
    found = {"score": ("score", "mean"), "pairs": ("score", "count"), "stopped": ("stopped", "any")}
    return settings.agg(**found).reset_index()


def lines(found: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """What is drawn as one line: settings that differ in nothing but layers, with a label of the rest."""
    others = [key for key in found.columns if key not in ("layers", "score", "pairs", "stopped")]
    if not others:
        return [("score", found)]
    return [
        (", ".join(f"{key} {value}" for key, value in zip(others, values, strict=True)), rows)
        for values, rows in found.groupby(others, sort=False)
    ]


def compared(found: pd.DataFrame, chosen: Mapping[str, Any]) -> pd.DataFrame:
    """The paper's score of each layer (``paper``) beside its best in rehearsal (``ours``), by layer.

    Args:
        found: what ``scores`` gives of a method.
        chosen: layers.json.
    """
    ours = found.groupby("layers")["score"].min()
    shared = [layer for layer in chosen["layers"] if layer in ours.index]
    paper = [chosen["layers"][layer]["score"] for layer in shared]
    return pd.DataFrame({"paper": paper, "ours": [ours[layer] for layer in shared]}, index=shared, dtype=float)


def numbers(method: str, found: pd.DataFrame, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """What the caption reads, of the first drawn ``method``; the other arguments are those of ``compared``."""
    best = found.loc[found[(found["pairs"] == found["pairs"].max()) & ~found["stopped"]]["score"].idxmin()]
    both = compared(found, chosen)
    preferred = found[found["layers"] == str(chosen["best"])]
    least = preferred["score"].min()
    at_least = "at least " if preferred[preferred["score"] == least]["stopped"].any() else ""
    # The paper's score is good where it is high, and ours where it is low.
    rank = f"{-spearmanr(both['paper'], both['ours']).statistic:.2f}" if len(both) > 2 else "not defined"
    return {
        "method": method,
        "tried": len(found),
        "stopped": int(found["stopped"].sum()),
        "best": best["layers"],
        "score": f"{best['score']:.1f}",
        "paper": chosen["best"],
        "layers": len(both),
        "paper_score": f"{at_least}{least:.1f}",
        "rank": rank,
    }
