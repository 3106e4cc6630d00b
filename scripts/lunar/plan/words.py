"""What a configuration's models allow, in words: for messages and for docs/config.md.

Both read the JSON schema that pydantic makes of a model.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from pydantic import BaseModel

Node = dict[str, Any]


@cache
def schema(model: type[BaseModel]) -> Node:
    """A model's JSON schema, what it refers to put in place; sections do not hold themselves."""
    whole = model.model_json_schema()
    return _inlined(whole, whole.get("$defs", {}))


def _inlined(node: Any, definitions: Mapping[str, Any]) -> Any:
    if isinstance(node, list):
        return [_inlined(one, definitions) for one in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        target = definitions[node["$ref"].rpartition("/")[2]]
        node = {**target, **{key: value for key, value in node.items() if key != "$ref"}}
    return {key: _inlined(value, definitions) for key, value in node.items() if key != "$defs"}


def branches(node: Node) -> list[Node]:
    """The alternatives of a node; itself where there is one only."""
    return node.get("anyOf") or node.get("oneOf") or [node]


def at(node: Node, path: Sequence[str | int], value: Any) -> Node:
    """The node at a path of keys; of alternatives that which the value's own keys point at."""
    for part in path:
        found: Node = {}
        for branch in _chosen(branches(node), value):
            inside = branch.get("items") if isinstance(part, int) else branch.get("properties", {}).get(part)
            if inside is None and not isinstance(part, int):
                inside = free(branch)
            if isinstance(inside, dict):
                found = inside
                break
        node = found
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            value = None
    return node


def marked(node: Node, value: Any, mark: str, place: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted key and value of all that a schema marks in a value that it allows."""
    for branch in branches(node):
        if branch.get(mark) and not isinstance(value, Mapping | list | str):
            yield place, value
        elif isinstance(value, Mapping):
            for key, below in value.items():
                inside = branch.get("properties", {}).get(key) or free(branch)
                yield from marked(inside, below, mark, f"{place}.{key}")
        elif isinstance(value, list):
            for number, below in enumerate(value):
                yield from marked(branch.get("items", {}), below, mark, f"{place}[{number}]")


def _chosen(found: list[Node], value: Any) -> list[Node]:
    """Alternatives, first those whose constant keys are the value's, such as ``source: hub``."""

    def fits(branch: Node) -> bool:
        constants = {key: one["const"] for key, one in branch.get("properties", {}).items() if "const" in one}
        return isinstance(value, Mapping) and all(value.get(key) == constant for key, constant in constants.items())

    return sorted(found, key=lambda branch: not fits(branch))


def free(node: Node) -> Node:
    """What a mapping holds under names of the user's choice; empty where it holds nothing so."""
    found = node.get("additionalProperties") or next(iter(node.get("patternProperties", {}).values()), {})
    return found if isinstance(found, dict) else {}


def keys(node: Node, value: Any = None) -> list[str]:
    """Names of the keys that a mapping may have; of alternatives, of that which the value's own keys point at."""
    return list(_chosen(branches(node), value)[0].get("properties", {}))


def choices(node: Node) -> list[str]:
    """The words that a value may be."""
    found: list[str] = []
    for branch in branches(node):
        found += map(str, branch.get("enum", [branch["const"]] if "const" in branch else []))
        discriminated = [one["properties"] for one in branches(node) if "properties" in one]
        found += [one["const"] for keys_ in discriminated for one in keys_.values() if "const" in one]
    return list(dict.fromkeys(found))


def kind(node: Node) -> str:
    """A value's type in words."""
    alternatives = branches(node)
    if len(alternatives) > 1:
        return " or ".join(dict.fromkeys(map(kind, alternatives)))
    node = alternatives[0]
    if "enum" in node or "const" in node:
        return "text"
    names = {"object": "mapping", "array": "list", "null": "null", "string": "text", "integer": "whole number"}
    said = names.get(node.get("type", "anything"), node.get("type", "anything"))
    return f"list of {kind(node['items'])}" if said == "list" and node.get("items") else said


def bounds(node: Node) -> str:
    """What a value may be beyond its type."""
    alternatives = branches(node)
    if len(alternatives) > 1:
        return "; ".join(dict.fromkeys(filter(None, map(bounds, alternatives))))
    node, found = alternatives[0], []
    if "enum" in node or "const" in node:
        found.append(", ".join(f"`{value}`" for value in node.get("enum", [node.get("const")])))
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    found += [f"{sign} {node[key]:g}" for key, sign in signs.items() if key in node]
    if "pattern" in node and node["pattern"] != r"\S":
        found.append(f"matches `{node['pattern']}`")
    found += [f"names match `{pattern}`" for pattern in node.get("patternProperties", {})]
    if "enum" in node.get("propertyNames", {}):
        found.append(f"keys {', '.join(f'`{name}`' for name in node['propertyNames']['enum'])}")
    if any(node.get(key) for key in ("minItems", "minProperties", "minLength")) or node.get("pattern") == r"\S":
        found.append("not empty")
    inside = node.get("items", {})
    if inside and "properties" not in inside and (each := bounds(inside)):
        found.append(f"each {each}")
    return "; ".join(found)


def allowed_in_words(node: Node) -> str:
    """Type and bounds of a value in one phrase; words alone where they are all that is allowed."""
    if any(key in branch for branch in branches(node) for key in ("enum", "const")):
        others = [kind(branch) for branch in branches(node) if "enum" not in branch and "const" not in branch]
        return ", ".join([*choices(node), *others])
    if "properties" in node:
        return "mapping"
    return ", ".join(filter(None, (kind(node), bounds(node).replace("`", ""))))
