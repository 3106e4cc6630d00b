"""What the report's first page says of an experiment: a short table and sentences, all from the numbers.

In this order: what was to be forgotten, by which methods, how far and at what cost. What attacks recover is told by
``lunar.pages.attacks`` and ``lunar.pages.audit``, and whether the numbers reproduce by ``reproduced``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from lunar.files import Row
from lunar.pages.kinds import CONTROLS, kinds, present
from lunar.pages.main_table import Metrics
from lunar.pages.names import BEFORE, CONTROL, HEADLINE
from lunar.pages.numbers import linked, list_table

ABSENT = "not measured"
# An edit that leaves more of the forget set has not forgotten it, and is best at nothing.
FORGOTTEN = 0.3
# What an edit can be best at: in words, split, metric, and whether more is better.
GOALS = (
    ("forgets most of the answers (forget ROUGE-1)", "forget", "rouge1", False),
    ("keeps most of the retain set (retain ROUGE-1)", "retain", "rouge1", True),
    ("keeps most of what no method saw (unseen ROUGE-1)", "unseen", "rouge1", True),
    ("refuses fewest general questions", "general", "refusal", False),
)


def _value(metrics: Metrics, method: str, split: str | None, metric: str) -> str:
    found = metrics[method] if split is None else metrics[method]["splits"].get(split, {})
    cell = found.get(metric, {})
    return f"{cell['mean']:.2f}" if "mean" in cell else ABSENT


def _few(names: Sequence[str]) -> str:
    """The first three names, and how many more there are."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _whom(forget: Sequence[Row]) -> str:
    """Whom the forget questions are about."""
    names = list(dict.fromkeys(row["author"] for row in forget if row.get("author")))
    return f"about {_few(names)}" if names else "of the forget set"


def subject(metrics: Metrics, forget: Sequence[Row], model: str) -> str:
    """What was to be forgotten, by what model, in two sentences."""
    text = f"**What was to be forgotten.** {len(forget)} questions {_whom(forget)}. The model is ``{model}``."
    if BEFORE in metrics:
        known = _value(metrics, BEFORE, "forget", "rouge1")
        text += f" Before unlearning it gives {known} of the words of their answers (ROUGE-1 recall)."
    return text


def methods(recipes: Mapping[str, str]) -> list[str]:
    """The compared edits by kind, as lines of reStructuredText; ``recipes`` as ``lunar.pages.kinds.kinds`` takes it."""
    found = kinds(recipes)
    lines = []
    for kind in present(found.values()):
        named = ", ".join(f"``{name}``" for name, own in found.items() if own == kind)
        lines.append(f"- {kind.title}: {named}" if kind != CONTROLS else f"- {kind.title}, to compare with: {named}")
    return ["**By which methods.**", "", *lines]


def best(metrics: Metrics) -> list[str]:
    """Which edit is best at what, of those that forgot, as lines of reStructuredText."""
    edits = [name for name in metrics if name not in (BEFORE, CONTROL)]
    cells = {
        (name, split, metric): metrics[name]["splits"].get(split, {}).get(metric, {}).get("mean")
        for name in edits
        for _, split, metric, _ in GOALS
    }
    forgot = [name for name in edits if (cells[name, "forget", "rouge1"] or 0) <= FORGOTTEN]
    lines = []
    for words, split, metric, more in GOALS:
        values = {name: cells[name, split, metric] for name in forgot if cells[name, split, metric] is not None}
        if values:
            most = (max if more else min)(values.values())
            named = _few([f"``{name}``" for name, value in values.items() if value == most])
            lines.append(f"- {words}: {named}, {most:.2f}")
    if not lines:
        return []
    return [f"**Which edit is best at what**, of those that leave at most {FORGOTTEN} of the forget set:", "", *lines]


def summary(
    experiment: str,
    metrics: Metrics,
    layers: Mapping[str, Any],
    rehearsed: bool,
    notes: Sequence[str] = (),
    *,
    recipes: Mapping[str, str],
    forget: Sequence[Row],
    model: str,
) -> str:
    """reStructuredText for the report's first page: what was forgotten, by which method, how far, at what cost.

    Args:
        experiment: its name, the title.
        metrics: of each compared method.
        layers: what the paper's score says of each layer.
        rehearsed: settings of a compared method were chosen in rehearsal.
        notes: what could not be judged.
        recipes: of each compared method, blank where it has none.
        forget: the forget set's rows.
        model: the base model's name.
    """
    rows = [["method", *[title for title, _, _ in HEADLINE]]]
    for name, values in metrics.items():
        ds = values["ds"]
        text = f"{ds['mean']:.1f} [{ds['low']:.1f}, {ds['high']:.1f}]" if "mean" in ds else ABSENT
        rows.append([name, text, *(_value(metrics, name, split, metric) for _, split, metric in HEADLINE[1:])])
    table = linked(experiment, "1.1", "tables/main.html")
    lines = [experiment, "-" * len(experiment), "", subject(metrics, forget, model), "", *methods(recipes), ""]
    lines += [
        "**How far, and at what cost?** DS is the distance from forgetting all and keeping all; lower is better. In "
        "brackets is its 95% interval. Forget, retain and unseen are ROUGE-1 recall. Refused and gibberish are shares "
        f"of the forget questions where no others are named. {table} has every number with its interval.",
        "",
        *list_table(rows),
        "",
        *best(metrics),
    ]
    if CONTROL in metrics:
        lines += [
            "",
            f"``{CONTROL}`` never saw the forget set. It still gives {_value(metrics, CONTROL, 'forget', 'rouge1')} of "
            f"the answers' words and refuses {_value(metrics, CONTROL, 'forget', 'refusal')} of the questions. A DS "
            "below its own says that a model refuses, not that it knows less.",
        ]
    if "lunar" in metrics:
        lines += ["", standing(metrics, "lunar")]
    chosen = "Settings were chosen in rehearsal, on retained authors who play the forgotten one (section 3)."
    lines += [
        "",
        f"{chosen if rehearsed else 'Settings were stated; none was chosen in rehearsal.'} The paper's score of "
        f"steered answers prefers layer {layers['best']}.",
    ]
    lines += [line for note in notes for line in ("", f"**Note:** {note}.")]
    return "\n".join([*lines, ""])


def reproduced(experiment: str, told: Mapping[str, Any]) -> str:
    """reStructuredText for the report's first page: whether the run gives the recorded numbers.

    Args:
        experiment: its name.
        told: tables/reproduced.json, of which the ``line`` that sums up is read.
    """
    page = linked(experiment, "1.0", "tables/reproduced.html")
    return f"**Does it reproduce?** {told['line']}; {page} has each beside the recorded one.\n"


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
            + _few([f"{name} ({ds[name]:.1f})" for name in ahead])
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
        lost += [f"{title}: {_few(better)}"] if better else []
    if lost:
        return f"{text} By more than the 95% intervals it loses on {'; '.join(lost)}."
    return f"{text} On unseen authors and general questions it loses to none of them by more than the 95% intervals."
