"""Which library files a script depends on: what Snakemake is told as the inputs of its rule."""

import ast
import os
from collections.abc import Iterator
from functools import cache
from importlib.util import decode_source
from pathlib import Path

# How a job speaks of what it does, or waits for another, changes none of its results.
NO_INPUTS = ("errors", "data/locks", "progress")


def statements(tree: ast.Module) -> Iterator[ast.AST]:
    """Every statement of a file, also those inside others; expressions hold no import and are passed over."""
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        yield node
        for within in ("body", "orelse", "finalbody", "handlers", "cases"):
            todo += getattr(node, within, ())


def parsed(file: str) -> ast.Module:
    """A file's syntax tree. Raises what Python does where it cannot read it."""
    return _tree(Path(file).read_bytes(), file)


@cache
def _tree(source: bytes, file: str) -> ast.Module:
    """Made once, since plug-ins are read from it, and all rules follow the same files."""
    return ast.parse(decode_source(source), filename=file)


@cache
def module_files(name: str, folder: str) -> list[str]:
    """The files that a dotted name of the library runs: the module and its packages, as far as they are there.

    The library itself holds no code in its ``__init__.py``. What a module defines is no file, so the last part of a
    name may be none. What ``NO_INPUTS`` names is left out.
    """
    parts = name.split(".")
    places = [os.path.join(folder, *parts[:length]) for length in range(2, len(parts) + 1)]
    spared = [os.path.join(folder, f"lunar/{one}.py") for one in NO_INPUTS]
    files = [file for place in places for file in (f"{place}.py", os.path.join(place, "__init__.py"))]
    return [file for file in files if file not in spared and os.path.isfile(file)]


@cache
def imports_of(file: str, folder: str) -> list[str]:
    """Files of the library in ``folder`` that a file imports itself."""
    names: list[str] = []
    for node in statements(parsed(file)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "lunar":
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names if alias.name.split(".")[0] == "lunar"]
    return [found for name in names for found in module_files(name, folder)]


def imported_modules(script: Path, *more: str) -> list[str]:
    """Library modules that a script imports, directly or through other modules, as sorted file paths.

    The library is the package ``lunar`` beside the script; imports inside functions count. What ``NO_INPUTS``
    names is left out: no result depends on it.

    Args:
        script: the script.
        more: dotted names of modules that it imports by a name which the configuration gives.
    """
    folder = str(script.parent)
    found = {file for name in more for file in module_files(name, folder)}
    todo = [str(script), *found]
    while todo:
        new = set(imports_of(todo.pop(), folder)) - found
        found |= new
        todo += new
    return sorted(found)


@cache
def files_read(module: str) -> list[str]:
    """What a module reads beside itself: files of its folder that match the pattern in its constant ``INPUT_FILES``."""
    return [
        str(file)
        for node in parsed(module).body
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["INPUT_FILES"]
        for file in Path(module).parent.glob(ast.literal_eval(node.value))
    ]


def library_files(script: Path, *more: str) -> list[str]:
    """All files of the library that a script depends on: ``imported_modules``, and what these read; sorted paths."""
    modules = imported_modules(script, *more)
    return sorted({*modules, *(file for module in modules for file in files_read(module))})
