"""Which library files a script depends on: what Snakemake is told as the inputs of its rule."""

import ast
from functools import cache
from pathlib import Path

# How a job speaks of what it does, or waits for another, changes none of its results.
NO_INPUTS = ("errors", "data/locks", "progress")


@cache
def imports_of(source: str) -> list[str]:
    """Dotted names of what Python source imports from the library; read once, since all rules follow the same files."""
    names: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "lunar":
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names if alias.name.split(".")[0] == "lunar"]
    return names


def imported_modules(script: Path, *more: str) -> list[str]:
    """Library modules that a script imports, directly or through other modules, as sorted file paths.

    The library is the package ``lunar`` beside the script; imports inside functions count. What ``NO_INPUTS``
    names is left out: no result depends on it.

    Args:
        script: the script.
        more: dotted names of modules that it imports by a name which the configuration gives.
    """
    folder = script.parent
    found: set[Path] = set()
    todo = [script]
    spared = {folder / f"lunar/{name}.py" for name in NO_INPUTS}

    def add(name: str) -> None:
        # A module's packages are imported with it; the library itself holds no code in its __init__.py.
        parts = name.split(".")
        for length in range(2, len(parts) + 1):
            place = folder.joinpath(*parts[:length])
            for path in (place.with_suffix(".py"), place / "__init__.py"):
                if path.is_file() and path not in found | spared:
                    found.add(path)
                    todo.append(path)

    for name in more:
        add(name)
    while todo:
        for name in imports_of(todo.pop().read_text(encoding="utf-8")):
            add(name)
    return sorted(str(path) for path in found)


@cache
def files_read(module: str) -> list[str]:
    """What a module reads beside itself: files of its folder that match the pattern in its constant ``INPUT_FILES``."""
    path = Path(module)
    return [
        str(file)
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["INPUT_FILES"]
        for file in path.parent.glob(ast.literal_eval(node.value))
    ]


def library_files(script: Path, *more: str) -> list[str]:
    """All files of the library that a script depends on: ``imported_modules``, and what these read; sorted paths."""
    modules = imported_modules(script, *more)
    return sorted({*modules, *(file for module in modules for file in files_read(module))})
