"""Which metrics an experiment computes, checked: the ``metrics`` section of its configuration."""

from collections.abc import Mapping
from typing import Any

from lunar.errors import Faults
from lunar.plan.entries import Plugins, one_of
from lunar.plan.plugins import Plugin
from lunar.plan.settings import validate

# What tables and figures always show.
SHOWN = {"answers": ("rouge1", "rougeL", "refusal", "right", "wrong", "gibberish"), "methods": ("ds",)}
# All that is known of answers under attack.
UNDER_ATTACK = frozenset({"answer"})


def check_metrics(section: Mapping[str, Any], plugins: Plugins, where: str) -> None:
    """Refuse a metric that no file declares, a setting that it does not have, and to do without one that tables show.

    Raises:
        LunarError: names the key, its value and what is allowed.
    """
    faults = Faults()
    for kind, known in _known(plugins).items():
        for name, settings in section[kind].items():
            with faults:
                one_of(name, known, f"{where}.{kind}")
                if settings is not None:
                    validate(known[name].settings, settings, f"{where}.{kind}.{name}")
        for name in SHOWN[kind]:
            if section[kind].get(name) is None:
                faults.append(f"{where}.{kind}.{name}: missing; tables and figures show it")
    faults.end()


def measured(section: Mapping[str, Any], plugins: Plugins, attacked: bool) -> dict[str, list[Any]]:
    """What is computed of a method: left alone, or under attack, where only answers are known.

    Returns:
        ``answers``: name and settings of each metric of answers, in the order of the tables; a list, since dictionaries
        among a rule's parameters are sorted by key. ``methods``: the same of the metrics of a whole method.
        ``modules``: dotted names of the files that they stand in. A metric whose entry is null is left out.
    """
    known = _known(plugins)
    kept = {
        kind: [
            [name, dict(settings)]
            for name, settings in section[kind].items()
            if settings is not None and (not attacked or plugins_[name].needs <= UNDER_ATTACK)
        ]
        for kind, plugins_ in known.items()
    }
    modules = {known[kind][name].module for kind, one in kept.items() for name, _ in one}
    return kept | {"modules": sorted(modules)}


def _known(plugins: Plugins) -> dict[str, Mapping[str, Plugin]]:
    return {"answers": plugins.answers, "methods": plugins.overall}
