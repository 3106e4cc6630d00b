"""The page of every configuration key, docs/config.md, made from the pydantic models and the defaults.

    make docs    # after a change of a setting, its description or its default

writes it; a test says whether it is up to date.
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from lunar.plan import words  # noqa: E402
from lunar.plan.declare import Section  # noqa: E402
from lunar.plan.entries import Entry, Plugins  # noqa: E402
from lunar.plan.experiments import with_files  # noqa: E402
from lunar.plan.plugins import Plugin  # noqa: E402
from lunar.plan.sections import Experiment  # noqa: E402
from lunar.plan.settings import Configuration  # noqa: E402

PAGE = ROOT / "docs/config.md"
CONFIG = with_files(ROOT / "config", yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8")))
PLUGINS = Plugins.found(ROOT / "scripts")
APART = ("sources", "published", "bench")  # sections of their own, beside the experiments
Row = tuple[str, ...]

INTRODUCTION = """# Every configuration key

*Made by `make docs` from the settings' pydantic models (`scripts/lunar/plan/sections.py`, `settings.py`, and those in
the file of each method, attack and metric) and from the defaults: change those.*

A key that is not here is refused before anything runs, and so is a value that its row does not allow. An experiment (an
entry of `experiments`) has the keys of `defaults` and is merged over it, key by key; lists are replaced whole. Files of
`config/` are read with `config.yaml`. `<name>` is a name of your choice. The default is what the shipped files have,
left out where it is long or differs by name.
"""


def default(path: tuple[str, ...], node: words.Node) -> str:
    """The default of a key, where it is a value or a short list of values: as configured, else as declared."""
    value: Any = CONFIG if path[0] in ("run", "export", "question", "ask", *APART) else CONFIG["defaults"]
    for name in path:
        if not isinstance(value, Mapping) or name not in value:
            value = node.get("default", ...)
            break
        value = value[name]
    if value is ... or isinstance(value, Mapping):
        return ""
    if isinstance(value, list) and any(isinstance(one, dict | list) for one in value):
        return ""
    text = yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("\n").removesuffix("\n...")
    return f"`{text}`" if len(text) <= 70 else ""


def below(node: words.Node) -> Iterator[tuple[str, words.Node, bool]]:
    """The keys of a mapping, or of the mappings in it: name (``<name>`` where it is free), schema, whether required."""
    every = words.branches(node)
    for branch in every:
        for name, child in branch.get("properties", {}).items():
            shared = all(name in other.get("properties", {}) for other in every if "properties" in other)
            kind = "" if shared else f"{branch['properties'].get('source', {}).get('const', '')}: "
            said = f"{kind.lstrip(': ')}{child.get('description', '')}"
            yield name, child | {"description": said}, shared and name in branch.get("required", [])
        if words.free(branch):
            yield "<name>", words.free(branch), False
        if "items" in branch:
            for name, child, required in below(branch["items"]):
                yield f"[].{name}", child, required


def rows(path: tuple[str, ...], node: words.Node, required: bool) -> Iterator[Row]:
    """A row for a key and for each below it: key, type, allowed values, default, description."""
    said = " ".join(node.get("description", "").split()).replace("<", "&lt;")  # no HTML
    stated = default(path, node)
    cells = (
        words.kind(node),
        words.bounds(node),
        stated,
        f"**Required.** {said}".strip() if required and not stated else said,
    )
    # A key of a free name that has keys of its own needs no row: its mapping's description speaks of it.
    if path[-1] != "<name>" or not any("properties" in branch for branch in words.branches(node)):
        yield f"`{'.'.join(path).replace('.[]', '[]')}`", *cells
    seen: dict[str, list[tuple[words.Node, bool]]] = {}
    for name, child, needed in below(node):
        seen.setdefault(name, []).append((child, needed))
    for name, children in seen.items():
        yield from rows((*path, name), _joined([child for child, _ in children]), all(needed for _, needed in children))


def _joined(nodes: list[words.Node]) -> words.Node:
    """A key that several alternatives of a section have: what any of them allows."""
    if len(nodes) == 1:
        return nodes[0]
    if all("const" in node for node in nodes):
        return nodes[0] | {"enum": [node["const"] for node in nodes], "description": "Kind of source."}
    return nodes[0] | {"description": " / ".join(dict.fromkeys(node.get("description", "") for node in nodes))}


def table(found: Iterator[Row] | list[Row]) -> str:
    """Rows as a Markdown table."""
    lines = ["| key | type | allowed | default | what it is |", "| --- | --- | --- | --- | --- |"]
    return "\n".join(lines + [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in found])


def settings_rows(model: type[Section]) -> list[Row]:
    """Rows of what a plug-in may be told."""
    return [row for name, node, needed in below(words.schema(model)) for row in rows((name,), node, needed)]


def plugin_sections(title: str, plugins: Mapping[str, Plugin]) -> dict[str, tuple[str, list[Row]]]:
    """A part a plug-in: what it is, and what it may be told."""
    return {
        f"{title} {name}": (plugin.summary, settings_rows(plugin.settings))
        for name, plugin in sorted(plugins.items())
        if settings_rows(plugin.settings)
    }


def every() -> dict[str, tuple[str, list[Row]]]:
    """Introduction and rows of each part by its title."""
    whole, experiment = words.schema(Configuration), words.schema(Experiment)
    needed = whole["required"]
    top = {name: node for name, node in whole["properties"].items() if name not in APART}
    parts: dict[str, tuple[str, list[Row]]] = {
        "The file": ("", [row for name, node in top.items() for row in rows((name,), node, name in needed)])
    }
    parts["sources"] = ("", list(rows(("sources",), whole["properties"]["sources"], False)))
    parts["Experiment"] = ("", [])
    for name, node in experiment["properties"].items():
        first, *others = rows((name,), node, name in experiment["required"])
        if others:
            parts[name] = ("", [first, *others])
        else:
            parts["Experiment"][1].append(first)
    parts["An entry of methods"] = ("Beside these an entry has the settings of its recipe.", settings_rows(Entry))
    parts |= plugin_sections("recipe:", PLUGINS.methods) | plugin_sections("attack:", PLUGINS.attacks)
    parts |= plugin_sections("metric:", {**PLUGINS.answers, **PLUGINS.overall})
    for name in ("published", "bench"):
        parts[name] = ("", list(rows((name,), whole["properties"][name], True)))
    return parts


def page() -> str:
    """The page as Markdown."""
    parts = [
        f"## {title}\n\n{said}\n\n{table(found)}\n" if said else f"## {title}\n\n{table(found)}\n"
        for title, (said, found) in every().items()
    ]
    return "\n".join([INTRODUCTION, *parts])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
