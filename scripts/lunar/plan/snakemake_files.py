"""What jobs read of Snakemake: a rule's named inputs, and benchmark files. The one place that knows their form."""

from collections.abc import Mapping
from typing import Any


def inputs_named(prefix: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """A rule's inputs whose name starts with ``prefix_``, by the rest of their name."""
    return {name.removeprefix(f"{prefix}_"): path for name, path in inputs.items() if name.startswith(f"{prefix}_")}
