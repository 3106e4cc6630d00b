"""Files of the configuration, read so that every mistake in one is a line that names it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from lunar.errors import LunarError

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# Whole numbers as everybody reads them. YAML 1.1 has others: 010 is 8, 0x10 is 16, and 1:30 is 90.
PLAIN = re.compile(r"[-+]?(0|[1-9][0-9_]*)")


def mapping(path: Path) -> dict[Any, Any]:
    """What a YAML file holds, or a JSON file.

    Raises:
        LunarError: the file cannot be read, or is not YAML or not a mapping; or it gives keys twice, or has numbers and
            dates that YAML reads differently from how they look. All faults are named, each with file and line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise LunarError(f"{path}: cannot be read: {error.strerror}; mend it or take it away") from None
    except ValueError as error:
        raise LunarError(f"{path}: no UTF-8 text: {error}; save it as UTF-8") from None
    try:
        found, faults = json.loads(text, object_pairs_hook=_pairs), []
    except LunarError as error:
        raise LunarError(f"{path}: {error}") from None
    except ValueError:  # no JSON, as Snakemake also tries first
        found, faults = _yaml(path, text)
    if faults:
        raise LunarError(*faults)
    if not isinstance(found, dict):
        held = {type(None): "nothing", list: "a list"}.get(type(found), "a single value")
        raise LunarError(f"{path}: holds {held}; expected keys with values, such as `experiments:`")
    return found


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise LunarError(f"key {twice!r} is given twice; leave one of them")
    return found


def _yaml(path: Path, text: str) -> tuple[Any, list[str]]:
    """The value of a YAML text, and what in it would silently be something else."""
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None, []
        faults = [f"{path}:{line + 1}: {said}" for line, said in sorted(set(_misread(node, [])))]
        return None if faults else loader.construct_document(node), faults
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        tab = mark and "\t" in "".join(text.split("\n")[mark.line : mark.line + 1])
        hint = "; YAML takes blanks for indentation, no tabs" if tab else ""
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        raise LunarError(f"{place}: no YAML: {error.problem}{hint}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # such as a control character
        raise LunarError(f"{path}: no YAML: {' '.join(str(error).split())}") from None


def _misread(node: yaml.Node, above: list[int]) -> Iterator[tuple[int, str]]:
    """Line, counted from 0, and words of what is given twice or is not what it looks like."""
    line = node.start_mark.line
    if id(node) in above:
        yield line, "this anchor holds itself; leave the alias inside it"
    elif isinstance(node, yaml.MappingNode):
        seen = set()
        # Not where values are made: a merge (`<<`) adds keys that the mapping may state again.
        for key, value in node.value:
            if (key.tag, str(key.value)) in seen:
                yield key.start_mark.line, f"key {key.value!r} is given twice; leave one of them"
            seen.add((key.tag, str(key.value)))
            yield from _misread(value, [*above, id(node)])
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _misread(value, [*above, id(node)])
    else:
        kind, text = node.tag.rpartition(":")[2], node.value
        if (kind == "int" and not PLAIN.fullmatch(text)) or (kind == "float" and ":" in text):
            value = yaml.safe_load(text)
            yield line, f"YAML reads {text} as {value}; write {value}, or '{text}' in quotes for a text"
        elif kind == "timestamp":
            yield line, f"YAML reads {text} as a date; write '{text}' in quotes for a text"
