"""What the files of a sentence-embedding model tell before anything is loaded. Imports no torch."""

from pathlib import Path

from lunar.errors import LunarError
from lunar.model.findings import Finding
from lunar.model.folder import ANEW, own_code, read_json, tokenizer_file, weights, wrong

# What is fetched of one: no code and no pickled weights.
PATTERNS = ["*.json", "*.safetensors", "*.txt", "*.model"]
OURS = "sentence_transformers."


def look(folder: Path) -> list[Finding]:
    """Everything about an embedder's folder that keeps it from being loaded, or from which code would run."""
    if not folder.is_dir():
        return [wrong("folder", f"no folder {folder}", "correct embedder.name")]
    found: list[Finding] = []
    told = {path: read_json(path, found) for path in sorted(folder.rglob("*.json")) if path.name != "tokenizer.json"}
    found += [own_code(path) for path, one in told.items() if isinstance(one, dict) and "auto_map" in one]
    listed, places = folder / "modules.json", [folder]
    if listed.is_file():
        modules = told[listed] if isinstance(told[listed], list) else []
        modules = [one for one in modules if isinstance(one, dict)]
        if not modules:
            found.append(wrong("modules", f"{listed}: no list of modules", ANEW))
        for module in modules:
            kind, place = str(module.get("type")), folder / str(module.get("path", ""))
            if not kind.startswith(OURS):
                said = f"{listed}: module {kind!r} is code, which is never run"
                found.append(wrong("modules", said, "name an embedder of sentence-transformers' own modules"))
            pickled = sorted(place.glob("pytorch_model*.bin"))
            if place != folder and pickled and not list(place.glob("*.safetensors")):
                said = f"{pickled[0]} is pickled, and pickled weights are never loaded"
                found.append(wrong("weights", said, "save it as safetensors, or take another embedder"))
        places = [folder / str(one.get("path", "")) for one in modules if str(one.get("type")).endswith(".Transformer")]
    for place in places:
        if not (place / "config.json").is_file():
            found.append(wrong("config", f"no config.json in {place}", ANEW))
        weights(place, found)
        tokenizer_file(place, found)
    return list(dict.fromkeys(found))


def check(folder: Path) -> None:
    """Refuse an embedder's folder.

    Raises:
        LunarError: a line for everything that ``look`` finds.
    """
    if found := look(folder):
        raise LunarError(*(f"embedder: {one.found}; {one.remedy}" for one in found))
