"""Entries made of others, against the schema that the file's own entries passed. For the workflow, not for its jobs."""

from collections.abc import Mapping
from pathlib import Path

import yaml
from jsonschema import Draft202012Validator

from lunar import config
from lunar.errors import LunarError


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
