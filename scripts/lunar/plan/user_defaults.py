"""What an experiment on a user's own model or data need not say. For the workflow, not for its jobs."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from lunar.data import sources
from lunar.plan import checkpoints
from lunar.plan import experiments as settings
from lunar.plan.entries import Plugins
from lunar.plan.experiments import Config, merge, states
from lunar.plan.extras import served
from lunar.plan.size import sizes

METHOD = "lunar"


def resolve(config: Mapping[str, Any], plugins: Plugins) -> dict[str, Config]:
    """As ``lunar.plan.experiments.resolve``, of experiments completed first, with files that its sources will give.

    Raises:
        LunarError: as there.
    """
    filled = partial(complete, plugins)
    return settings.resolve(config, plugins, sources.made(config.get("sources", {})), filled)


def complete(plugins: Plugins, over: Config, defaults: Config) -> Config:
    """An experiment with its gaps filled; what it states stays as it is.

    The defaults are chosen for the shipped model and the shipped authors. An experiment on another local model gets
    blocks at the same relative depth. An experiment on other data, without ``rehearsal.authors``, gets only those parts
    that need no more than a forget and a retain set.

    Args:
        plugins: what methods, attacks and metrics there are.
        over: what it states; merged over the defaults it has the form that it needs.
        defaults: what every experiment starts from.
    """
    if states(over, "model", "source"):
        over = merge(for_model(over, defaults), over)
    if audited(over):
        return merge(for_audit(plugins, over, defaults), over)
    if states(over, "data", "retain") and not states(over, "rehearsal", "authors"):
        over = merge(for_data(over, defaults), over)
    return over


def audited(over: Mapping[str, Any]) -> list[str]:
    """The methods of an experiment whose models were unlearned elsewhere."""
    entries = over.get("methods") or {}
    return [name for name, entry in entries.items() if entry and entry.get("recipe") == checkpoints.RECIPE]


def for_audit(plugins: Plugins, over: Mapping[str, Any], defaults: Mapping[str, Any]) -> Config:
    """Settings where models from elsewhere are looked at: they and the controls, under every attack that fits the data.

    The model is taken for the one before unlearning, which knows the forget set; where it is to be taught here, the
    experiment says so (``finetune.enabled``). The default experiment's own model is taught as ever.
    """
    own = states(over, "model", "source")
    taught = over.get("finetune", {}).get("enabled", not own)
    control = taught or checkpoints.origin(over["methods"].get(checkpoints.CONTROL, {}))
    known = [*dict.fromkeys([*([checkpoints.CONTROL] if control else []), *audited(over)])]
    by_name = {name: plugins.attacks[entry["attack"]] for name, entry in defaults["attacks"].items()}
    attacks = served(defaults["attacked"]["attacks"], by_name, merge(defaults["data"], over.get("data", {})))
    filled: Config = {
        "finetune": {"enabled": taught},
        "rehearsal": {"authors": []},
        "sequential": {"requests": []},
        "compare": [*dict.fromkeys(["vanilla", *known])],
        "optimisers": None,
        "ladder": None,
        "attacked": {"methods": known, "attacks": attacks},
        "figures": {"methods": []},
    }
    if states(over, "data", "retain"):
        filled["data"] = {"unseen": []}
    return filled | ({} if states(over, "rehearsal", "authors") else unrehearsed(over, defaults))


def for_model(over: Mapping[str, Any], defaults: Mapping[str, Any]) -> Config:
    """Settings for another model: its template's own system message and, of a local one, blocks by their depth."""
    filled: Config = {"system_prompt": None}  # some templates refuse an empty one
    model = over["model"]
    blocks = sizes(Path(model["folder"])).get("num_hidden_layers") if model["source"] == "path" else None
    if not blocks:
        return filled
    # The last block of the PCA figure is the shipped model's last: by it, depths are told.
    shipped = defaults["figures"]["late_layer"] + 1
    candidates = sorted({block * blocks // shipped for block in defaults["layers"]["candidates"]})
    most = len(over.get("layers", {}).get("candidates", candidates))
    layers = {"candidates": candidates, "top_k": min(defaults["layers"]["top_k"], most)}
    first = {"first_layer": defaults["finetune"]["first_layer"] * blocks // shipped}
    trained = (name for name, entry in defaults["attacks"].items() if "first_layer" in entry)
    attacks = {name: {"first_layer": defaults["attacks"][name]["first_layer"] * blocks // shipped} for name in trained}
    return filled | {"layers": layers, "finetune": first, "figures": {"late_layer": blocks - 1}, "attacks": attacks}


def for_data(over: Mapping[str, Any], defaults: Mapping[str, Any]) -> Config:
    """Settings where there is nobody to rehearse on: LUNAR as the paper has it, at the layer that its score prefers."""
    finetuned = over.get("finetune", {}).get("enabled", defaults["finetune"]["enabled"])
    compared = [*(["retain_only"] if finetuned else []), METHOD]
    filled: Config = {
        "data": {"unseen": []},
        "compare": ["vanilla", *compared],
        "optimisers": None,
        "ladder": None,
        "attacked": {"methods": compared, "attacks": []},
        "figures": {"methods": [METHOD]},
    }
    return filled | unrehearsed(over, defaults)


def unrehearsed(over: Mapping[str, Any], defaults: Mapping[str, Any]) -> Config:
    """LUNAR as the paper has it, unless the experiment gives it a grid or takes it from elsewhere."""
    own = over.get("methods", {}).get(METHOD, {})
    if "grid" in own or own.get("recipe") == checkpoints.RECIPE:
        return {}
    coefficient = over.get("layers", {}).get("coefficient", defaults["layers"]["coefficient"])
    return {"methods": {METHOD: {"layers": "best", "coefficient": coefficient}}}
