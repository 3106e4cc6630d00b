"""What a job reads of its rule's named inputs. The one place that knows how the workflow names them."""

from collections.abc import Mapping, Sequence
from typing import Any

from lunar.files import read_json


def inputs_named(prefix: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """A rule's inputs whose name starts with ``prefix_``, by the rest of their name."""
    return {name.removeprefix(f"{prefix}_"): path for name, path in inputs.items() if name.startswith(f"{prefix}_")}


def chosen_values(choices: Mapping[str, Sequence[str]], paths: Sequence[str]) -> dict[str, Any]:
    """Settings that rehearsals chose.

    Args:
        choices: the keys to take, by the method that was rehearsed.
        paths: what each of these rehearsals wrote, in the same order.
    """
    found = {}
    for keys, path in zip(choices.values(), paths, strict=True):
        chosen = read_json(path)["chosen"]
        found |= {key: chosen[key] for key in keys}
    return found
