"""What the report's first page says of an experiment: a short table and sentences, all from the numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

from lunar.pages.main_table import Metrics
from lunar.pages.names import BEFORE, CONTROL, HEADLINE
from lunar.pages.numbers import list_table

ABSENT = "not measured"


def _value(metrics: Metrics, method: str, split: str | None, metric: str) -> str:
    found = metrics[method] if split is None else metrics[method]["splits"].get(split, {})
    cell = found.get(metric, {})
    return f"{cell['mean']:.2f}" if "mean" in cell else ABSENT


def summary(
    experiment: str, metrics: Metrics, layers: Mapping[str, Any], rehearsed: bool, notes: Sequence[str] = ()
) -> str:
    """reStructuredText for the report's first page: a short table and how to read it, all from the numbers.

    Args:
        experiment: its name, the title.
        metrics: of each compared method.
        layers: what the paper's score says of each layer.
        rehearsed: settings of a compared method were chosen in rehearsal.
        notes: what could not be judged.
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
    lines += [line for note in notes for line in ("", f"**Note:** {note}.")]
    if BEFORE in metrics:
        known = _value(metrics, BEFORE, "forget", "rouge1")
        lines += [
            "",
            f"Before unlearning the model reproduces the forget set at ROUGE-1 {known} "
            f"and refuses {_value(metrics, BEFORE, 'general', 'refusal')} of plain general questions.",
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
    if CONTROL in metrics:
        lines += [
            "",
            f"A model that never saw the author, ``{CONTROL}``, matches "
            f"{_value(metrics, CONTROL, 'forget', 'rouge1')} of the forget set's words and refuses "
            f"{_value(metrics, CONTROL, 'forget', 'refusal')} of its questions: refusing is not the same as not "
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
    others = [name for name in metrics if name not in (method, BEFORE, CONTROL)]
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
