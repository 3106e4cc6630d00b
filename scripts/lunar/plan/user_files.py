"""Files that belong to the user: inputs of the workflow, which it never writes, moves or deletes."""

import hashlib
import os
import unicodedata
from base64 import urlsafe_b64encode
from collections.abc import Container, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from lunar.data import files
from lunar.errors import Faults, LunarError
from lunar.plan import checkpoints
from lunar.plan.entries import Plugins, named_files

RESULTS = Path("results")
# Names of a rule's inputs that are the user's files.
INPUTS = {"files", "names", "embedder", "corpus", "outputs", "refusals"}
SMALL = 10**6  # bytes; larger files are told apart by size and time


def listed(folder: str | Path, below: bool = False) -> list[str]:
    """The files in a folder but for hidden ones, sorted; ``below``: those of the folders in it as well.

    A folder that is not there has none: the job that reads it says so.
    """
    top = Path(folder).expanduser()
    found = top.rglob("*") if below else top.glob("*")
    return sorted(
        str(path)
        for path in found
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(top).parts)
    )


def of_embedder(section: Mapping[str, Any]) -> list[str]:
    """The files of an embedder in a local folder."""
    return listed(section["name"], below=True) if section["source"] == "path" else []


def of_source(source: Mapping[str, Any]) -> list[str]:
    """The files of a published data set in a local folder, as far as they are there."""
    if source["source"] != "path":
        return []
    stated = (Path(source["folder"]).expanduser() / name for name in sorted(source["files"].values()))
    return [str(path) for path in stated if path.is_file()]


def in_project(value: Any, root: Path) -> Any:
    """A configuration in which shipped files that the work folder has not are named where the project has them.

    Args:
        value: the configuration, or a part of it; paths are relative to the work folder.
        root: folder of the project.
    """
    if isinstance(value, Mapping):
        return {key: in_project(below, root) for key, below in value.items()}
    if isinstance(value, list):
        return [in_project(below, root) for below in value]
    shipped = isinstance(value, str) and value.startswith("data/") and (root / value).is_file()
    return os.path.relpath(root / value) if shipped and not Path(value).is_file() else value


@cache
def state(path: str) -> str:
    """What tells a file from another in its place: its content or, of a large one, size and time of change.

    Snakemake looks at times alone, and at those of inputs only that are younger than what was made of them: an older
    file that is moved there goes unseen.
    """
    file = Path(path)
    try:
        found = file.stat()
        small = file.read_bytes() if found.st_size < SMALL else f"{found.st_size} {found.st_mtime_ns}".encode()
    except OSError:
        return "absent"
    return hashlib.sha256(small).hexdigest()[:16]


def states(inputs: Iterable[str], apart: Path) -> dict[str, str]:
    """``state`` of each of a rule's inputs that the user has a hand in, by path.

    Args:
        inputs: paths of files and folders.
        apart: folder of the project, whose own files Snakemake looks after; the results are apart too.
    """
    own = tuple(f"{name}/" for name in (RESULTS, *(os.path.relpath(apart / name) for name in ("scripts", "report"))))
    mine = (path for path in map(str, inputs) if not path.startswith(own))
    return {path: state(path) for path in sorted(mine) if Path(path).is_file()}


def check(config: Mapping[str, Any], experiments: Mapping[str, Any], plugins: Plugins, made: Container[str]) -> None:
    """Refuse what a configuration names as the user's that lies in the results, which the workflow writes and deletes.

    Args:
        config: all of it.
        experiments: each merged over the defaults and checked, by name.
        plugins: methods, attacks and metrics.
        made: files in the results that are meant to be named.

    Raises:
        LunarError: names the key and the path.
    """
    roots = _roots()
    for key, path in _named(config, experiments, plugins):
        if "{" in path or "}" in path:
            raise LunarError(f"{key}: {path} has a brace, which Snakemake reads as a wildcard; rename it")
        if path not in made and any(_inside(place, root) for place in _places(path) for root in roots):
            raise LunarError(f"{key}: {path} lies in results/, where runs write and delete; move it somewhere else")
        if key.endswith("embedder.name") and any(_inside(root, place) for place in _places(path) for root in roots[:1]):
            raise LunarError(f"{key}: {path} holds results/; name the folder of the embedder alone")


def check_made(made: Mapping[str, str]) -> None:
    """Refuse a folder that a rule would replace and that no run has made, so that somebody has put it there.

    Args:
        made: folders that rules make, each with a file that the same job makes last.

    Raises:
        LunarError: names each such folder.
    """
    found = Faults()
    for folder, beside in made.items():
        begun = Path(".snakemake/incomplete") / urlsafe_b64encode(folder.encode()).decode()  # by a job that was killed
        if Path(folder).is_dir() and any(Path(folder).iterdir()) and not Path(beside).is_file() and not begun.exists():
            found.append(
                f"{folder}: lies there without {beside}, so no run has made it, and this one would replace it; if it "
                "is yours, move it out of results/ and name it there (source: path), or else delete it"
            )
    found.end()


def _named(config: Mapping[str, Any], experiments: Mapping[str, Any], plugins: Plugins) -> Iterable[tuple[str, str]]:
    """Dotted key and path of everything."""
    for name, source in config.get("sources", {}).items():
        if source["source"] == "path":
            yield f"sources.{name}.folder", source["folder"]
    if config["published"].get("path"):
        yield "published.path", config["published"]["path"]
    sections = {"published": config["published"], **{f"experiments.{name}": one for name, one in experiments.items()}}
    for where, section in sections.items():
        if section["embedder"]["source"] == "path":
            yield f"{where}.embedder.name", section["embedder"]["name"]
    for name, experiment in experiments.items():
        model = experiment["model"]
        for key in ("folder", "corpus"):
            for path in model.get(key, []) if isinstance(model.get(key, []), list) else [model[key]]:
                yield f"experiments.{name}.model.{key}", path
        for method, entry in experiment["methods"].items():
            if (folder := checkpoints.path(entry)) is not None:
                yield f"experiments.{name}.methods.{method}", folder
        for key, path in files.named(experiment["data"]):
            yield f"experiments.{name}.data.{key}", path
        for method, path in experiment.get("evaluation_logs", {}).items():
            yield f"experiments.{name}.evaluation_logs.{method}", path
        for place, path in named_files(experiment, plugins):
            yield f"experiments.{name}.{place}", path


def _roots() -> list[Path]:
    """The results, and what folders in them lead to that are links; models and data sets are links no deeper."""
    links = [path for depth in ("*", "*/*") for path in RESULTS.glob(depth) if path.is_symlink()]
    return [_known(path) for path in (RESULTS.resolve(), RESULTS.absolute(), *(path.resolve() for path in links))]


def _places(path: str) -> list[Path]:
    """Where a path is said to be, and where it leads to."""
    stated = Path(path).expanduser()
    return [_known(Path(os.path.abspath(stated))), _known(stated.resolve())]


def _known(path: Path) -> Path:
    """A path as file systems may take it that do not tell case, or ways to write an accent, apart."""
    return Path(unicodedata.normalize("NFC", str(path)).casefold())


def _inside(path: Path, folder: Path) -> bool:
    return path.is_relative_to(folder)
