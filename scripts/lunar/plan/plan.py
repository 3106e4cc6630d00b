"""What the workflow is told by its configuration, checked. For the workflow, not for its jobs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from jsonschema import Draft202012Validator

from lunar.data import sources
from lunar.errors import LunarError
from lunar.plan import experiments as config
from lunar.plan import user_defaults as own


def check_climbed(experiments: Mapping[str, config.Config], schema: Path) -> None:
    """Methods that a ladder made of changes, against the schema's ``method``, which the file's own entries passed.

    Raises:
        LunarError: a change gave a key that no method has, or a value that it cannot have.
    """
    definitions = yaml.safe_load(schema.read_text(encoding="utf-8"))["$defs"]
    validator = Draft202012Validator({"$defs": definitions, "$ref": "#/$defs/method"})
    for name, experiment in experiments.items():
        climbed = (config.rungs(experiment) | config.asides(experiment)) if experiment["ladder"] else {}
        for rung, method in climbed.items():
            for error in validator.iter_errors(experiment["methods"][method]):
                place = ".".join(["ladder", rung, *map(str, error.absolute_path)])
                raise LunarError(f"experiments.{name}.{place}: {error.message}")


class Plan(NamedTuple):
    """What rules are made from.

    Attributes:
        recipes: module of each method's class, by the name of its recipe.
        attacks: module of each attack's class, by its name.
        sources: published data sets, by name.
        experiments: each merged over the defaults, by name.
    """

    recipes: dict[str, str]
    attacks: dict[str, str]
    sources: dict[str, config.Config]
    experiments: dict[str, config.Config]


def plan(read: Mapping[str, Any], scripts: Path, schema: Path) -> Plan:
    """Check a configuration that passed the schema beyond what a schema can say.

    Args:
        read: the configuration as read, paths in it relative to the working directory.
        scripts: folder of the scripts and the library.
        schema: file of the schema.

    Raises:
        LunarError: the first thing in it that cannot be done, and what to change.
    """
    recipes, attacks = config.recipes(scripts), config.recipes(scripts, "attacks", "attack")
    published = sources.check(read.get("sources", {}))
    experiments = own.resolve(read, recipes)
    config.check_attacks(experiments, attacks)
    check_climbed(experiments, schema)
    if read.get("method"):
        config.exported(read, experiments)  # a misspelt name is to end in one line, before anything else
    return Plan(recipes, attacks, published, experiments)
