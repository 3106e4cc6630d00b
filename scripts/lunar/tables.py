"""Metric files to tables and sentences."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, StrictUndefined

from lunar.metrics import METRICS

Metrics = Mapping[str, Mapping[str, Any]]

TITLES = {
    "forget": "Forget set",
    "forget_paraphrase": "Forget set, paraphrased",
    "forget_validation": "Forget set, validation wording",
    "retain": "Retain set",
    "unseen": "Unseen authors",
    "general": "General questions",
    "harmful": "Harmful requests",
    "fictitious": "Made-up things",
}
# Which way is better for a metric whose sense depends on the split.
REFUSE = ("forget", "forget_paraphrase", "forget_validation", "harmful", "fictitious")


def better(metric: str, split: str) -> str:
    """``higher`` or ``lower``: on the forget set refusing is right and matching the gold answer wrong."""
    sense = METRICS[metric].better
    if sense != "depends":
        return sense
    return "higher" if (metric == "refusal") == (split in REFUSE) else "lower"


def wide(metrics: Metrics) -> pd.DataFrame:
    """The CSV table: a row a method, columns ``method``, ``attack``, ``ds`` and ``<split>_<metric>``.

    Each number is followed by its 95% interval (``_low``, ``_high``); what cannot be computed is blank.
    """
    rows = []
    for name, values in metrics.items():
        row: dict[str, Any] = {"method": name, "attack": "none"}
        for column, cell in [("ds", values["ds"])] + [
            (f"{split}_{metric}", cell) for split, cells in values["splits"].items() for metric, cell in cells.items()
        ]:
            row |= {f"{column}{end}": cell.get(key) for end, key in (("", "mean"), ("_low", "low"), ("_high", "high"))}
        rows.append(row)
    return pd.DataFrame(rows).round(6)


def _cells(cells: Sequence[Mapping[str, Any]], sense: str, digits: int) -> list[dict[str, Any]]:
    values = [round(cell["mean"], digits) for cell in cells if "mean" in cell]
    best = (max if sense == "higher" else min)(values, default=None)
    return [
        {
            "text": f"{cell['mean']:.{digits}f}" if "mean" in cell else "",
            "interval": f"{cell['low']:.{digits}f} to {cell['high']:.{digits}f}" if "mean" in cell else "",
            "reason": cell.get("reason", ""),
            "best": "mean" in cell and round(cell["mean"], digits) == best and len(set(values)) > 1,
        }
        for cell in cells
    ]


def readable(metrics: Metrics) -> list[dict[str, Any]]:
    """The table for readers: a row a (split, metric), a column a method.

    Each row has ``split``, ``metric``, ``better``, ``n``, ``source`` and ``cells`` with ``text``, ``interval``,
    ``best`` and, where the number is missing, the ``reason``.
    """
    first = next(iter(metrics.values()))
    rows = [
        {
            "split": "Forget and retain set",
            "metric": "DS",
            "better": "lower",
            "n": "",
            "source": "LUNAR section 4; 100 sqrt(forget ROUGE-1^2 + (1 - retain ROUGE-1)^2)",
            "cells": _cells([values["ds"] for values in metrics.values()], "lower", 1),
        }
    ]
    for split, cells in first["splits"].items():
        for name, cell in cells.items():
            if "reason" in cell and all("reason" in values["splits"][split][name] for values in metrics.values()):
                if name != "rouge1":
                    continue
            rows.append(
                {
                    "split": TITLES[split],
                    "metric": METRICS[name].title,
                    "better": better(name, split),
                    "n": cell.get("n", ""),
                    "source": METRICS[name].source,
                    "cells": _cells(
                        [values["splits"][split][name] for values in metrics.values()], better(name, split), 3
                    ),
                }
            )
    return rows


def markdown(rows: Sequence[Mapping[str, Any]], methods: Sequence[str]) -> str:
    """The readable table as Markdown; the best value of a row is bold."""

    def text(cell: Mapping[str, Any]) -> str:
        if not cell["text"]:
            return f"({cell['reason']})"
        value = f"**{cell['text']}**" if cell["best"] else cell["text"]
        return f"{value} [{cell['interval'].replace(' to ', ', ')}]"

    arrows = {"higher": "↑", "lower": "↓"}
    lines = [["split", "metric", "n", *methods], ["---", "---", "---:", *["---:"] * len(methods)]]
    lines += [
        [row["split"], f"{row['metric']} {arrows[row['better']]}", str(row["n"]), *map(text, row["cells"])]
        for row in rows
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def render(template: str | Path, *, style: str | Path, **values: Any) -> str:
    """A page from a Jinja template and a style sheet, both files; everything inserted is escaped."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page = environment.from_string(Path(template).read_text(encoding="utf-8"))
    return page.render(style=Path(style).read_text(encoding="utf-8"), **values)


def _value(metrics: Metrics, method: str, split: str, metric: str) -> str:
    cell = metrics[method]["splits"].get(split, {}).get(metric, {})
    return f"{cell['mean']:.2f}" if "mean" in cell else "not measured"


HEADLINE = (
    ("DS", None, None),
    ("forget", "forget", "rouge1"),
    ("refused", "forget", "refusal"),
    ("retain", "retain", "rouge1"),
    ("unseen", "unseen", "rouge1"),
    ("general refused", "general", "refusal"),
)


def summary(experiment: str, metrics: Metrics, layers: Mapping[str, Any]) -> str:
    """reStructuredText for the report's first page: a short table and how to read it, all from the numbers."""
    lines = [experiment, "-" * len(experiment), "", ".. list-table::", "   :header-rows: 1", ""]
    lines += [f"   {'*' if i == 0 else ' '} - {title}" for i, title in enumerate(["method", *[h[0] for h in HEADLINE]])]
    for name, values in metrics.items():
        ds = values["ds"]
        lines.append(f"   * - {name}")
        for title, split, metric in HEADLINE:
            if title == "DS":
                text = f"{ds['mean']:.1f} [{ds['low']:.1f}, {ds['high']:.1f}]" if "mean" in ds else "not measured"
            else:
                text = _value(metrics, name, split, metric)
            lines.append(f"     - {text}")
    lines += [
        "",
        "DS is lower for better; forget, retain and unseen are ROUGE-1 recall, refused are shares of questions.",
    ]
    if "vanilla" in metrics:
        known = _value(metrics, "vanilla", "forget", "rouge1")
        lines += [
            "",
            f"Before unlearning the model reproduces the forget set at ROUGE-1 {known} "
            f"and refuses {_value(metrics, 'vanilla', 'general', 'refusal')} of plain general questions.",
        ]
    for name in (name for name in metrics if name.startswith("lunar")):
        lines += [
            "",
            f"``{name}`` answers {_value(metrics, name, 'forget', 'rouge1')} of the forget set's words and refuses "
            f"{_value(metrics, name, 'forget', 'refusal')} of its questions "
            f"({_value(metrics, name, 'forget_paraphrase', 'refusal')} when they are paraphrased); it keeps "
            f"{_value(metrics, name, 'retain', 'rouge1')} on the retain set and "
            f"{_value(metrics, name, 'unseen', 'rouge1')} on authors that the solver never saw, and refuses "
            f"{_value(metrics, name, 'general', 'refusal')} of general questions.",
        ]
    if "retain_only" in metrics:
        lines += [
            "",
            "A model that never saw the author, ``retain_only``, matches "
            f"{_value(metrics, 'retain_only', 'forget', 'rouge1')} of the forget set's words by inventing and refuses "
            f"{_value(metrics, 'retain_only', 'forget', 'refusal')} of its questions: refusing is not the same as not "
            "knowing, so a DS below that model's says that a model refuses, not that it knows less.",
        ]
    lines += ["", f"The edit is at layer {layers['best']}, chosen by the score of steered answers (section 3).", ""]
    return "\n".join(lines)
