"""Metric files to tables and sentences."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, StrictUndefined

from lunar.metrics.registry import METRICS, OVERALL, Metric, Overall
from lunar.pages.rst import list_table

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
OVERALL_TITLE = "Overall"
# Where refusing is right and knowing the gold answer wrong (there is none to harmful and made-up questions).
REFUSE = ("forget", "forget_paraphrase", "forget_validation", "harmful", "fictitious")
ARROWS = {"higher": "↑", "lower": "↓", "half": "→ 0.5", "neither": ""}


def better(metric: str, split: str) -> str:
    """``higher``, ``lower`` or ``neither``: on the forget set refusing is right and matching the gold answer wrong."""
    sense = METRICS[metric].better
    if sense in ("knowledge", "refusal"):
        return "higher" if (sense == "refusal") == (split in REFUSE) else "lower"
    return sense


def cells(metrics: Metrics, split: str | None, name: str) -> list[Mapping[str, Any]]:
    """A metric of each method, of a split or (None) of the whole method."""
    return [values[name] if split is None else values["splits"][split][name] for values in metrics.values()]


def keys(metrics: Metrics) -> list[tuple[str | None, str]]:
    """Every (split, metric) in the tables' order; the split is None for metrics of a whole method."""
    first = next(iter(metrics.values()))
    every: list[tuple[str | None, str]] = [(None, name) for name in OVERALL if name in first]
    return every + [(split, name) for split, found in first["splits"].items() for name in found]


def _six_digits(value: Any) -> Any:
    # Significant ones: a small p-value is not to be read as zero.
    return float(f"{value:.6g}") if isinstance(value, float) else value


def wide(metrics: Metrics) -> pd.DataFrame:
    """The CSV table: a row a method, columns ``method``, ``attack``, ``ds``, others, and ``<split>_<metric>``.

    Each number is followed by its 95% interval (``_low``, ``_high``) where it has one; what is missing is blank.
    """
    rows: list[dict[str, Any]] = [{"method": name, "attack": "none"} for name in metrics]
    for split, name in keys(metrics):
        column = name if split is None else f"{split}_{name}"
        ends = {"": "mean", "_low": "low", "_high": "high"}
        if split is None:
            ends = ends if OVERALL[name].interval else {"": "mean"}
            ends |= {f"_{fact}": fact for fact in OVERALL[name].facts}
        for row, cell in zip(rows, cells(metrics, split, name), strict=True):
            row |= {f"{column}{end}": _six_digits(cell.get(key)) for end, key in ends.items()}
    return pd.DataFrame(rows)


def long(metrics: Metrics) -> pd.DataFrame:
    """Every number on a row of its own, with n, paired differences from the reference methods, and reasons.

    Columns: ``method``, ``attack``, ``split`` (blank for metrics of a whole method), ``metric``, ``value``, ``low``,
    ``high``, ``n``, ``reason`` (why there is no value), and ``vs_<method>``, ``_low``, ``_high``.
    """
    rows = []
    for split, name in keys(metrics):
        for method, cell in zip(metrics, cells(metrics, split, name), strict=True):
            row = {"method": method, "attack": "none", "split": split, "metric": name, "value": cell.get("mean")}
            row |= {key: cell.get(key) for key in ("low", "high", "n", "reason")}
            for other, versus in cell.get("versus", {}).items():
                row |= {f"vs_{other}": versus["difference"]}
                row |= {f"vs_{other}_{end}": versus[end] for end in ("low", "high")}
            rows.append({key: _six_digits(value) for key, value in row.items()})
    return pd.DataFrame(rows).astype({"n": "Int64"})


def _texts(found: Sequence[Mapping[str, Any]], sense: str, digits: int) -> list[dict[str, Any]]:
    """Cells as readers see them; the best is the best as printed."""
    values = [round(cell["mean"], digits) for cell in found if "mean" in cell]
    rank = {"higher": lambda value: -value, "half": lambda value: round(abs(value - 0.5), digits)}
    key = rank.get(sense, lambda value: value)
    marked = sense != "neither" and len({key(value) for value in values}) > 1
    best = min(map(key, values), default=None)

    def number(value: float) -> str:
        return f"{value:.1e}" if 0 < abs(value) < 0.5 * 10**-digits else f"{value:.{digits}f}"

    return [
        {
            "text": number(cell["mean"]) if "mean" in cell else "",
            "interval": f"{number(cell['low'])} to {number(cell['high'])}" if "low" in cell else "",
            "reason": cell.get("reason", ""),
            "best": marked and "mean" in cell and key(round(cell["mean"], digits)) == best,
            "versus": "; ".join(
                f"{each['difference']:+.{digits}f} [{each['low']:+.{digits}f}, {each['high']:+.{digits}f}] from {other}"
                for other, each in cell.get("versus", {}).items()
            ),
        }
        for cell in found
    ]


def readable(metrics: Metrics) -> list[dict[str, Any]]:
    """The table for readers: a row a (split, metric), a column a method.

    Each row has ``split``, ``metric``, ``better``, ``n``, ``source`` and ``cells`` with ``text``, ``interval``,
    ``best``, ``versus`` (paired differences) and, where the number is missing, the ``reason``.
    """
    rows = []
    for split, name in keys(metrics):
        found = cells(metrics, split, name)
        one: Metric | Overall = OVERALL[name] if split is None else METRICS[name]
        sense = one.better if isinstance(one, Overall) else better(name, str(split))
        first = next((cell for cell in found if "mean" in cell), {})
        notes = [next(iter(metrics.values())).get("notes", {}).get(name)]
        notes += [f"{fact} {first[fact]:.3g}" for fact in getattr(one, "facts", ()) if fact.startswith("n_") and first]
        notes += [f"members: {', '.join(first['members'])}" if "members" in first else None]
        rows.append(
            {
                "split": OVERALL_TITLE if split is None else TITLES[split],
                "metric": one.title,
                "better": sense,
                "n": first.get("n", ""),
                "source": "; ".join([one.source, *filter(None, notes)]),
                "cells": _texts(found, sense, one.digits if isinstance(one, Overall) else 3),
            }
        )
    return rows


def sections(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows by split: ``title``, ``rows`` with a number, and ``blanks``, each reason with the metrics it explains.

    A metric that no method has is named once with its reason instead of filling a row with it.
    """
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        section = found.setdefault(row["split"], {"title": row["split"], "rows": [], "blanks": {}})
        reasons = {cell["reason"] for cell in row["cells"]}
        if any(cell["text"] for cell in row["cells"]) or len(reasons) > 1:
            section["rows"].append(row)
        else:
            section["blanks"].setdefault(reasons.pop(), []).append(row["metric"])
    return list(found.values())


def markdown(rows: Sequence[Mapping[str, Any]], methods: Sequence[str]) -> str:
    """The readable table as Markdown, a table a split; the best value of a row is bold."""

    def text(cell: Mapping[str, Any]) -> str:
        if not cell["text"]:
            return f"({cell['reason']})"
        value = f"**{cell['text']}**" if cell["best"] else cell["text"]
        return f"{value} [{cell['interval'].replace(' to ', ', ')}]" if cell["interval"] else value

    def line(parts: Sequence[str]) -> str:
        return f"| {' | '.join(parts)} |"

    lines = []
    for section in sections(rows):
        lines += [f"## {section['title']}", ""]
        if section["rows"]:
            lines += [line(["metric", "n", *methods]), line(["---", "---:", *["---:"] * len(methods)])]
            lines += [
                line([f"{row['metric']} {ARROWS[row['better']]}".strip(), str(row["n"]), *map(text, row["cells"])])
                for row in section["rows"]
            ]
            lines.append("")
        lines += [f"Not computed, since {reason}: {'; '.join(names)}.\n" for reason, names in section["blanks"].items()]
    return "\n".join(lines)


LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
LATEX |= {character: f"\\{character}" for character in "&%$#_{}"}
LATEX |= {"↑": r"$\uparrow$", "↓": r"$\downarrow$", "→": r"$\rightarrow$", "<": "$<$", ">": "$>$"}


def latex_escape(text: str) -> str:
    """Text as LaTeX prints it."""
    return "".join(LATEX.get(character, character) for character in text)


def latex(rows: Sequence[Mapping[str, Any]], methods: Sequence[str]) -> str:
    """The readable table as LaTeX, a ``table`` a split, to be ``\\input``; needs the package booktabs."""

    def text(cell: Mapping[str, Any]) -> str:
        if not cell["text"]:
            return "--"
        value = rf"\textbf{{{cell['text']}}}" if cell["best"] else cell["text"]
        low, _, high = cell["interval"].partition(" to ")
        return rf"{value} {{\scriptsize [{low}, {high}]}}" if high else value

    lines = ["% Written by the workflow; needs \\usepackage{booktabs}."]
    for section in sections(rows):
        notes = [f"Not computed, since {reason}: {'; '.join(names)}." for reason, names in section["blanks"].items()]
        notes += [
            f"{row['metric']}, {method}: {cell['reason']}."
            for row in section["rows"]
            for method, cell in zip(methods, row["cells"], strict=True)
            if not cell["text"]
        ]
        caption = f"{section['title']}. Mean and bootstrap 95% interval over questions."
        caption = latex_escape(" ".join([caption, *notes]))
        lines += [r"\begin{table}", r"\centering\small", rf"\caption{{{caption}}}"]
        if section["rows"]:
            head = " & ".join(["metric", "$n$", *map(latex_escape, methods)])
            lines += [rf"\begin{{tabular}}{{lr*{{{len(methods)}}}{{r}}}}", r"\toprule", rf"{head} \\", r"\midrule"]
            for row in section["rows"]:
                metric = latex_escape(f"{row['metric']} {ARROWS[row['better']]}".strip())
                lines.append(" & ".join([metric, str(row["n"]), *map(text, row["cells"])]) + r" \\")
            lines += [r"\bottomrule", r"\end{tabular}"]
        lines += [r"\end{table}", ""]
    return "\n".join(lines)


def render(template: str | Path, *, style: str | Path, **values: Any) -> str:
    """A page from a Jinja template and a style sheet, both files; everything inserted is escaped."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page = environment.from_string(Path(template).read_text(encoding="utf-8"))
    return page.render(style=Path(style).read_text(encoding="utf-8"), **values)


def _value(metrics: Metrics, method: str, split: str | None, metric: str) -> str:
    found = metrics[method] if split is None else metrics[method]["splits"].get(split, {})
    cell = found.get(metric, {})
    return f"{cell['mean']:.2f}" if "mean" in cell else ABSENT


ABSENT = "not measured"
HEADLINE = (
    ("DS", None, "ds"),
    ("forget", "forget", "rouge1"),
    ("refused", "forget", "refusal"),
    ("refusal quality", "forget", "refusal_quality"),
    ("gibberish", "forget", "gibberish"),
    ("retain", "retain", "rouge1"),
    ("unseen", "unseen", "rouge1"),
    ("general refused", "general", "refusal"),
)


def summary(experiment: str, metrics: Metrics, layers: Mapping[str, Any], rehearsed: bool) -> str:
    """reStructuredText for the report's first page: a short table and how to read it, all from the numbers.

    Args:
        experiment: its name, the title.
        metrics: of each compared method.
        layers: what the paper's score says of each layer.
        rehearsed: settings of a compared method were chosen in rehearsal.
    """
    rows = [["method", *[title for title, _, _ in HEADLINE]]]
    for name, values in metrics.items():
        ds = values["ds"]
        text = f"{ds['mean']:.1f} [{ds['low']:.1f}, {ds['high']:.1f}]" if "mean" in ds else ABSENT
        rows.append([name, text, *(_value(metrics, name, split, metric) for _, split, metric in HEADLINE[1:])])
    lines = [experiment, "-" * len(experiment), "", *list_table(rows)]
    lines += [
        "",
        "DS (lower is better; in brackets its bootstrap 95% interval, in section 1 all others); forget, retain and "
        "unseen are ROUGE-1 recall; refused and gibberish are shares of questions, of the forget set where none is "
        "named; refusal quality is how like a refusal answers on the forget set are.",
    ]
    if "vanilla" in metrics:
        known = _value(metrics, "vanilla", "forget", "rouge1")
        lines += [
            "",
            f"Before unlearning the model reproduces the forget set at ROUGE-1 {known} "
            f"and refuses {_value(metrics, 'vanilla', 'general', 'refusal')} of plain general questions.",
        ]
    for name in (name for name in ("lunar", "lunar-topk") if name in metrics):
        # An experiment may have no paraphrases, and nobody unseen.
        paraphrased = _value(metrics, name, "forget_paraphrase", "refusal")
        unseen = _value(metrics, name, "unseen", "rouge1")
        lines += [
            "",
            f"``{name}`` answers {_value(metrics, name, 'forget', 'rouge1')} of the forget set's words and refuses "
            f"{_value(metrics, name, 'forget', 'refusal')} of its questions"
            + (f" ({paraphrased} when they are paraphrased)" if paraphrased != ABSENT else "")
            + f"; it keeps {_value(metrics, name, 'retain', 'rouge1')} on the retain set"
            + (f" and {unseen} on authors that the solver never saw" if unseen != ABSENT else "")
            + f", and refuses {_value(metrics, name, 'general', 'refusal')} of general questions.",
        ]
    if "retain_only" in metrics:
        lines += [
            "",
            "A model that never saw the author, ``retain_only``, matches "
            f"{_value(metrics, 'retain_only', 'forget', 'rouge1')} of the forget set's words and refuses "
            f"{_value(metrics, 'retain_only', 'forget', 'refusal')} of its questions: refusing is not the same as not "
            "knowing, so a DS below that model's says that a model refuses, not that it knows less.",
        ]
    if "lunar" in metrics:
        lines += ["", standing(metrics, "lunar")]
    chosen = "chosen in rehearsal, on retained authors who play the forgotten one (section 3)"
    lines += [
        "",
        f"Settings were {chosen if rehearsed else 'stated, and none chosen in rehearsal'}; the paper's score of "
        f"steered answers prefers layer {layers['best']}.",
        "",
    ]
    return "\n".join(lines)


def standing(metrics: Metrics, method: str) -> str:
    """Where a method stands among those that edit the model: whom it loses to, and by what."""
    others = [name for name in metrics if name not in (method, "vanilla", "retain_only")]
    ds = {name: metrics[name]["ds"]["mean"] for name in [method, *others] if "mean" in metrics[name]["ds"]}
    if method not in ds or len(ds) < 2:
        return f"``{method}`` is compared with no other edit here."
    ahead = sorted((name for name in ds if ds[name] < ds[method]), key=ds.__getitem__)
    text = (
        f"Of {len(ds)} edits ``{method}`` has the lowest DS."
        if not ahead
        else (
            f"Of {len(ds)} edits {len(ahead)} have a lower DS than ``{method}`` ({ds[method]:.1f}): "
            + ", ".join(f"{name} ({ds[name]:.1f})" for name in ahead)
            + "."
        )
    )
    lost = []
    for split, metric, title in (
        ("unseen", "rouge1", "unseen authors"),
        ("general", "refusal", "general questions refused"),
    ):
        cells = {name: metrics[name]["splits"].get(split, {}).get(metric, {}) for name in ds}
        if "low" not in cells[method]:
            continue
        own = cells[method]
        better = [
            name
            for name, cell in cells.items()
            if "low" in cell and (cell["low"] > own["high"] if metric == "rouge1" else cell["high"] < own["low"])
        ]
        lost += [f"{title}: {', '.join(better)}"] if better else []
    if lost:
        return f"{text} By more than the 95% intervals it loses on {'; '.join(lost)}."
    return f"{text} On unseen authors and general questions it loses to none of them by more than the 95% intervals."
