"""Which files a ``data`` section names, and whether they are there. For planning: reads none of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

FIELDS = "fields"  # the one key of the section that names no files
SAVED, SAVED_SPLITS = "state.json", "dataset_dict.json"  # by which a data set that `datasets` saved is known


def named(section: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Every file that the section names, with its key."""
    lists = {key: value if isinstance(value, list) else [value] for key, value in section.items() if key != FIELDS}
    return [(key, path) for key, paths in lists.items() for path in paths]


def absent(path: str) -> str | None:
    """Why a path cannot be read as rows, if neither a file nor a saved data set is there."""
    folder = Path(path)
    if folder.is_file() or (folder / SAVED).is_file():
        return None
    if (folder / SAVED_SPLITS).is_file():
        inside = sorted(str(found.parent) for found in folder.glob(f"*/{SAVED}"))
        return f"no file {path}, but a folder of several splits; name one of them: {', '.join(inside)}"
    if folder.is_dir():
        return f"no file {path}, but a folder that `datasets` did not save; name a file in it"
    return f"no file {path} (paths are relative to the work folder)"


def inside(path: str) -> list[str]:
    """The files that a path stands for: itself, or those of a saved data set but for what `datasets` cached there."""
    if not Path(path).is_dir():
        return [path]
    return sorted(str(file) for file in Path(path).iterdir() if file.is_file() and not file.name.startswith("cache-"))
