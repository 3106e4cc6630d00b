"""The page of every configuration key, docs/config.md, made from the schema and the defaults.

    .venv/bin/python docs/make/config_reference.py    # after a change of rules/config.schema.yaml or of a default

writes it; a test says whether it is up to date.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/config.md"
SCHEMA = yaml.safe_load((ROOT / "rules/config.schema.yaml").read_text(encoding="utf-8"))
CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
APART = ("sources", "published", "bench")  # sections of their own, beside the experiments
Node = dict[str, Any]

INTRODUCTION = """# Every key of config.yaml

*Made by `make docs` from `rules/config.schema.yaml` and the `defaults` of `config.yaml`: change those.*

Unknown keys are refused before anything runs. An experiment (an entry of `experiments`) has the keys of `defaults`
and is merged over it, key by key, lists replaced whole; the sections from [Experiment](#experiment) to
[figures](#figures) hold for both. `<name>` is a name of your choice (`methods.<name>.grid.<name>`: a key of the
method). The default is what `config.yaml` has, left out where it is long or differs by name. Beyond what is here, the
schema says which keys need one another (such as a model from a `hub` its `id` and `revision`), and
`scripts/lunar/plan/experiments.py` checks that names refer to something.
"""


def resolved(node: Node) -> Node:
    """A part of the schema with what it refers to laid under it."""
    if "$ref" not in node:
        return node
    target: Any = SCHEMA
    for name in node["$ref"].removeprefix("#/").split("/"):
        target = target[name]
    return {**resolved(target), **{key: value for key, value in node.items() if key != "$ref"}}


def kind(node: Node) -> str:
    """A value's type in words."""
    node = resolved(node)
    if "anyOf" in node:
        return " or ".join(map(kind, node["anyOf"]))
    types = node.get("type", "string" if "enum" in node else "anything")
    names = {"object": "mapping", "array": "list", "null": "null"}
    said = [names.get(name, name) for name in ([types] if isinstance(types, str) else types)]
    if "array" in types:
        said[said.index("list")] = f"list of {kind(node['items'])}" if "items" in node else "list"
    return " or ".join(said)


def allowed(node: Node) -> str:
    """What a value may be, beyond its type."""
    node = resolved(node)
    found = [part for one in node.get("anyOf", []) if (part := allowed(one))]
    if "enum" in node:
        found.append(", ".join(f"`{value}`" for value in node["enum"]))
    bounds = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    found += [f"{sign} {node[key]}" for key, sign in bounds.items() if key in node]
    patterns = [one["pattern"] for one in (node, *node.get("allOf", [])) if "pattern" in one]
    found += [f"matches `{pattern}`" for pattern in patterns]
    if "pattern" in node.get("propertyNames", {}):
        found.append(f"names match `{node['propertyNames']['pattern']}`")
    if node.get("minItems") or node.get("minProperties"):
        found.append("not empty")
    if node.get("uniqueItems"):
        found.append("no value twice")
    if node.get("minLength"):
        found.append("not empty")
    of_each = allowed(node["items"]) if "items" in node and "properties" not in resolved(node["items"]) else ""
    if of_each:
        found.append(f"each {of_each}")
    return "; ".join(found)


def default(path: tuple[str, ...]) -> str:
    """The default of a key, where it is a value or a short list of values."""
    value: Any = CONFIG if path[0] in ("run", "method", "experiment", *APART) else CONFIG["defaults"]
    for name in path:
        if not isinstance(value, dict) or name not in value:
            return ""
        value = value[name]
    if isinstance(value, dict) or (isinstance(value, list) and any(isinstance(one, dict | list) for one in value)):
        return ""
    text = yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("\n").removesuffix("\n...")
    return f"`{text}`" if len(text) <= 70 else ""


def below(node: Node) -> Iterator[tuple[str, Node, bool]]:
    """The keys of a mapping, or of the mappings in it: name (``<name>`` where it is free), schema, whether required.

    Neighbours that are described alike are one, ``{this,that}``.
    """
    node = resolved(node)
    alike: dict[str, list[str]] = {}
    for name, child in node.get("properties", {}).items():
        alike.setdefault(repr(child), []).append(name)
    for names in alike.values():
        name = names[0] if len(names) == 1 else f"{{{','.join(names)}}}"
        yield name, node["properties"][names[0]], names[0] in node.get("required", [])
    if isinstance(node.get("additionalProperties"), dict):
        yield "<name>", node["additionalProperties"], False
    if "items" in node:
        for name, child, required in below(node["items"]):
            yield f"[].{name}", child, required


def rows(path: tuple[str, ...], node: Node, required: bool) -> Iterator[tuple[str, ...]]:
    """A row for a key and for each below it: key, type, allowed values, default, description."""
    full = resolved(node)
    words = " ".join(full.get("description", "").split())
    words = words.replace("<", "&lt;")  # no HTML
    cells = (kind(node), allowed(node), default(path), f"**Required.** {words}".strip() if required else words)
    # A key of a free name that has keys of its own needs no row: its mapping's description speaks of it.
    if path[-1] != "<name>" or not full.get("properties"):
        yield f"`{'.'.join(path).replace('.[]', '[]')}`", *cells
    for name, child, needed in below(node):
        yield from rows((*path, name), child, needed)


def table(found: Iterator[tuple[str, ...]]) -> str:
    """Rows as a Markdown table."""
    lines = ["| key | type | allowed | default | what it is |", "| --- | --- | --- | --- | --- |"]
    return "\n".join(lines + [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in found])


def every() -> dict[str, list[tuple[str, ...]]]:
    """The rows of each section by its title."""
    top = {name: child for name, child in SCHEMA["properties"].items() if name not in APART}
    plain = [next(rows((name,), child, name in SCHEMA["required"])) for name, child in top.items()]
    sections: dict[str, list[tuple[str, ...]]] = {"The file": plain, "sources": [], "Experiment": []}
    sections["sources"] = list(rows(("sources",), SCHEMA["properties"]["sources"], False))
    for name, child in SCHEMA["$defs"]["experiment"]["properties"].items():
        first, *others = rows((name,), child, False)
        if others:
            sections[name] = [first, *others]
        else:
            sections["Experiment"].append(first)
    for name in ("published", "bench"):
        sections[name] = list(rows((name,), SCHEMA["properties"][name], True))
    return sections


def page() -> str:
    """The page as Markdown."""
    parts = [f"## {title}\n\n{table(iter(found))}\n" for title, found in every().items()]
    return "\n".join([INTRODUCTION, *parts])


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
