"""Whether the folder of a sentence-embedding model can be loaded without running anything. Imports no torch."""

import json
from pathlib import Path
from typing import Any

from lunar.errors import LunarError

# What is fetched of one: no code and no pickled weights.
PATTERNS = ["*.json", "*.safetensors", "*.txt", "*.model"]
OURS = "sentence_transformers."


def check(folder: Path) -> None:
    """Refuse a folder that names code of its own or whose weights are pickled, which are never run or loaded.

    Raises:
        LunarError: names the file and the way out.
    """
    if not folder.is_dir():
        raise LunarError(f"embedder.name: no folder {folder}; correct it, or take another embedder")
    for file in sorted(folder.rglob("*.json")):
        found = _read(file)
        if isinstance(found, dict) and "auto_map" in found:
            raise LunarError(f"embedder: {file} names code of its own (auto_map), which is never run; take another one")
    modules = _read(folder / "modules.json") if (folder / "modules.json").is_file() else []
    for module in modules:
        if not str(module["type"]).startswith(OURS):
            raise LunarError(
                f"embedder: {folder / 'modules.json'} names code of its own ({module['type']}), which is never run; "
                "take another one"
            )
    for place in {folder, *(folder / str(module["path"]) for module in modules)}:
        pickled = sorted(place.glob("pytorch_model*.bin"))
        if pickled and not list(place.glob("*.safetensors")):
            raise LunarError(
                f"embedder: {pickled[0]} is pickled and never loaded; save it as safetensors, or take another model"
            )


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LunarError(f"embedder: {file} cannot be read ({error}); get it again") from None
