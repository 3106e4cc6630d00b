"""Methods, attacks and metrics as their files declare them, read without importing them: they need torch.

A file's syntax tree tells the decorators. The settings are executed on their own, with what they import from pydantic,
typing and the shared settings, and with nothing else of the file.
"""

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lunar.errors import LunarError
from lunar.plan.declare import Section

# What settings may be made of.
_READABLE = ("typing", "pydantic", "lunar.plan.declare", "lunar.methods.settings", "lunar.attacks.settings")
_READABLE += ("lunar.metrics.settings",)

# What plug-ins may need; docs/extending.md says what each need brings.
_OF_ROWS = ("answer", "likelihood", "wrong", "perturbed", "paraphrased", "embeddings")
_SETS = ("forget_paraphrase", "forget_validation", "general", "harmful", "fictitious", "refusals")
NEEDS = {
    "method": ("model", "model_before", "rows", "references", "statistics", "direction", "layers"),
    "attack": ("statistics", "layers", "model_before", "solved_rows", *_SETS),
    "metric": _OF_ROWS,
    "overall": _OF_ROWS,
}
# The setting of a method that says which sets, which direction or which layers it needs.
SAID_BY = {"references": "keep", "statistics": "keep", "direction": "direction", "layers": "layers"}


@dataclass(frozen=True)
class Plugin:
    """One method, attack or metric.

    Attributes:
        name: what the configuration calls it.
        module: dotted name of its file.
        needs: what a job is to be given for it.
        settings: what it may be told.
        says: further keywords of its decorator.
        summary: first line of its docstring.
    """

    name: str
    module: str
    needs: frozenset[str]
    settings: type[Section]
    says: Mapping[str, Any] = field(default_factory=dict)
    summary: str = ""


def plugins(scripts: Path, package: str, decorator: str) -> dict[str, Plugin]:
    """The plug-ins of a package by name: classes and functions under ``@<decorator>(...)`` in its files.

    A class is called by the decorator's first argument, a function by its own name.

    Args:
        scripts: folder of the library.
        package: such as ``methods``.
        decorator: such as ``method``.

    Raises:
        LunarError: a name is given twice, a decorator's argument is no literal, or there is no such need; names file
            and line.
    """
    found: dict[str, Plugin] = {}
    for path in sorted((scripts / "lunar" / package).glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in tree.body:
            calls = node.decorator_list if isinstance(node, ast.ClassDef | ast.FunctionDef) else []
            for call in calls:
                if isinstance(call, ast.Call) and getattr(call.func, "id", "") == decorator:
                    plugin = _read(path, tree, node, call, f"lunar.{package}.{path.stem}", decorator)
                    if plugin.name in found:
                        other = found[plugin.name].module
                        raise LunarError(f"{path}:{call.lineno}: the {decorator} {plugin.name!r} is also in {other}")
                    found[plugin.name] = plugin
    return found


def _read(
    path: Path, tree: ast.Module, node: ast.ClassDef | ast.FunctionDef, call: ast.Call, module: str, decorator: str
) -> Plugin:
    """One declaration.

    Raises:
        LunarError: as ``plugins``.
    """
    where = f"{path}:{call.lineno}: @{decorator}"
    says = {}
    for keyword in call.keywords:
        if keyword.arg != "settings":
            try:
                says[keyword.arg] = ast.literal_eval(keyword.value)
            except ValueError:
                says[keyword.arg] = None  # such as a text with a number in it; only literals are planned with
    name = node.name
    if isinstance(node, ast.ClassDef):
        name = call.args[0].value if call.args and isinstance(call.args[0], ast.Constant) else None
        if not isinstance(name, str):
            raise LunarError(f"{where} takes a name, as a literal text")
    needs = says.pop("needs", ())
    if not isinstance(needs, tuple) or not all(isinstance(one, str) for one in needs):
        raise LunarError(f"{where} takes needs=(...), a tuple of literal texts")
    settings = _settings(path, tree, node, call, decorator)
    for need in needs:
        if need not in NEEDS[decorator]:
            raise LunarError(f"{where} needs {need!r}, which is none of {', '.join(NEEDS[decorator])}")
        setting = SAID_BY.get(need) if decorator == "method" else None
        # Planning reads the entry, where a default does not show.
        if setting and not (setting in settings.model_fields and settings.model_fields[setting].is_required()):
            raise LunarError(f"{where} needs {need!r}, of which a setting {setting!r} without a default is to say more")
    summary = (ast.get_docstring(node) or "").partition("\n")[0]
    return Plugin(name, module, frozenset(needs), settings, says, summary)


def _settings(
    path: Path, tree: ast.Module, node: ast.ClassDef | ast.FunctionDef, call: ast.Call, decorator: str
) -> type[Section]:
    """The settings of a declaration: class ``Settings`` in it, or that which its decorator names as ``settings``.

    Raises:
        LunarError: they refer to something that is not among what settings may be made of.
    """
    if isinstance(node, ast.ClassDef):
        inside = [one for one in node.body if isinstance(one, ast.ClassDef) and one.name == "Settings"]
    else:
        named = {keyword.arg: getattr(keyword.value, "id", None) for keyword in call.keywords}.get("settings")
        inside = [one for one in tree.body if isinstance(one, ast.ClassDef) and one.name == named]
    if not inside:
        return Section
    imports = [one for one in tree.body if isinstance(one, ast.ImportFrom) and one.module in _READABLE]
    source = ast.Module([*imports, inside[0]], [])
    space: dict[str, Any] = {"__name__": f"{path.stem}.settings"}
    try:
        exec(compile(source, str(path), "exec"), space)
    except NameError as error:
        raise LunarError(
            f"{path}:{inside[0].lineno}: {error}; settings are read without the rest of the file, so they may use "
            f"literals and what is imported from {', '.join(_READABLE)}"
        ) from error
    return space[inside[0].name]
