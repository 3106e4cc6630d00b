"""Pinned files from the Hugging Face hub, or a local folder in its place. Nothing fetched is run or unpickled."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lunar.data.sources import missing
from lunar.errors import LunarError
from lunar.files import atomic_folder, write_text
from lunar.model import fetch, hub_cache
from lunar.model.hub_errors import reason

PATTERNS = ["*.json", "*.safetensors", "*.jinja", "tokenizer.model"]  # of a model: no code, no pickled weights


def fetch_files(name: str, source: Mapping[str, Any], folder: str | Path) -> None:
    """The files of one of the configuration's ``sources``, all of them or none, each checked where a sha256 is stated.

    Args:
        name: of the source.
        source: its section.
        folder: where to; replaced only if all went well.

    Raises:
        LunarError: a file cannot be had, or is not the one that is stated.
    """
    with atomic_folder(folder) as temporary:
        if source["source"] == "path":
            if absent := missing(source):
                raise LunarError(f"sources.{name}: no file {absent[0]}; correct its folder or its files")
            for file in source["files"].values():
                shutil.copyfile(Path(source["folder"]).expanduser() / file, temporary / file)
        else:
            for file in source["files"].values():
                fetch_file(name, source, file, temporary)
        for file, digest in source.get("sha256", {}).items():
            if file in source["files"].values():
                fetch.check_sha256(temporary / file, digest, f"sources.{name}.sha256")
        shutil.rmtree(temporary / ".cache", ignore_errors=True)  # the hub client's own


def fetch_file(name: str, source: Mapping[str, Any], file: str, folder: Path) -> None:
    """One file of a data set on the hub, or in the hub's cache here.

    Raises:
        LunarError: it cannot be had.
    """
    import huggingface_hub

    if cached := hub_cache.files(source["id"], source["revision"], [file]):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(cached / file, folder / file)
        return
    where = {"repo_id": source["id"], "repo_type": "dataset", "revision": source["revision"]}
    try:
        huggingface_hub.hf_hub_download(filename=file, local_dir=folder, **where)
    except Exception as error:  # the client raises many kinds
        raise LunarError(
            f"sources.{name}: {file} of data set {source['id']} at revision {source['revision']} cannot be fetched: "
            f"{reason(error)}. Or download the data set elsewhere, set source to 'path' and name its folder"
        ) from error


def fetch_model(model: Mapping[str, Any], folder: str | Path) -> None:
    """A pinned base model from the hub or its cache here, with its chat template where the configuration states one.

    Args:
        model: the ``model`` section, of source ``hub``.
        folder: where to; replaced only if all went well.

    Raises:
        LunarError: it cannot be had, or the disk is too small.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    fetch.check_disk(folder.parent, model["disk_gb"])
    with atomic_folder(folder) as temporary:
        if cached := hub_cache.model(model["id"], model["revision"]):
            for file in (path for pattern in PATTERNS for path in cached.glob(pattern)):
                shutil.copyfile(file, temporary / file.name)
        else:
            _download(model, temporary)
        if "chat_template" in model:
            write_text(temporary / "chat_template.jinja", model["chat_template"])
        shutil.rmtree(temporary / ".cache", ignore_errors=True)


def _download(model: Mapping[str, Any], folder: Path) -> None:
    import huggingface_hub

    try:
        huggingface_hub.snapshot_download(
            model["id"], revision=model["revision"], local_dir=folder, allow_patterns=PATTERNS
        )
    except Exception as error:  # the client raises many kinds
        raise LunarError(
            f"model {model['id']} at revision {model['revision']} cannot be fetched: {reason(error)}. Or download "
            "it elsewhere, set model.source to 'path' and name its folder"
        ) from error
