"""Which metrics an experiment computes, checked: the ``metrics`` section of its configuration."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from lunar.errors import LunarError
from lunar.plan.plugins import Plugin, plugins

# What tables and figures always show.
SHOWN = {"answers": ("rouge1", "rougeL", "refusal", "right", "wrong", "gibberish"), "methods": ("ds",)}
# All that is known of answers under attack.
UNDER_ATTACK = frozenset({"answer"})


class Measured(NamedTuple):
    """Metrics to compute.

    Attributes:
        answers: name and settings of each metric of answers, in the order of the tables. It is a list, since the
            dictionaries among a rule's parameters are sorted by key.
        methods: the same of the metrics of a whole method.
        modules: dotted names of the files that they stand in.
    """

    answers: list[list[Any]]
    methods: list[list[Any]]
    modules: list[str]


def measured(experiments: Mapping[str, Mapping[str, Any]], scripts: Path) -> dict[str, tuple[Measured, Measured]]:
    """What is computed of each experiment's methods: left alone, and under attack, where only answers are known.

    A metric whose entry is null is left out.

    Args:
        experiments: each merged over the defaults, by name.
        scripts: folder of the library.

    Raises:
        LunarError: no file declares a metric of that name, it has no such setting, or one is left out that tables show.
    """
    known = {"answers": plugins(scripts, "metrics", "metric"), "methods": plugins(scripts, "metrics", "overall")}
    found = {}
    for experiment, settings in experiments.items():
        chosen = {
            kind: _chosen(
                settings["metrics"].get(kind, {}), known[kind], kind, f"experiments.{experiment}.metrics.{kind}"
            )
            for kind in known
        }
        found[experiment] = (_listed(chosen, known), _listed(chosen, known, UNDER_ATTACK))
    return found


def _chosen(
    section: Mapping[str, Any], known: Mapping[str, Plugin], kind: str, where: str
) -> dict[str, dict[str, Any]]:
    """Settings by name, each with what its metric may be told."""
    chosen = {name: dict(settings) for name, settings in section.items() if settings is not None}
    for name, settings in chosen.items():
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise LunarError(f"{where}: {name!r} is none of {', '.join(known)}{hint}")
        try:
            known[name].settings.model_validate(settings)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, (where, name, *first["loc"])))
            may = ", ".join(known[name].settings.model_fields) or "nothing"
            raise LunarError(f"{place}: {first['input']!r}: {first['msg']}; {name} may be told {may}") from None
    for name in SHOWN[kind]:
        if name not in chosen:
            raise LunarError(f"{where}.{name}: missing; tables and figures show it")
    return chosen


def _listed(
    chosen: Mapping[str, Mapping[str, Any]],
    known: Mapping[str, Mapping[str, Plugin]],
    there: frozenset[str] | None = None,
) -> Measured:
    """Those that need no more of rows than is ``there``; None: all."""
    kept = {
        kind: [[name, settings] for name, settings in one.items() if there is None or known[kind][name].needs <= there]
        for kind, one in chosen.items()
    }
    modules = {known[kind][name].module for kind, one in kept.items() for name, _ in one}
    return Measured(kept["answers"], kept["methods"], sorted(modules))
