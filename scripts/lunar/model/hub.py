"""Pinned files from the Hugging Face hub, or a local folder in its place. Nothing fetched is run or unpickled."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lunar.data.sources import missing
from lunar.errors import LunarError
from lunar.files import atomic_folder, write_text
from lunar.model import fetch

PATTERNS = ["*.json", "*.safetensors", "*.jinja", "tokenizer.model"]  # of a model: no code, no pickled weights


def reason(error: BaseException) -> str:
    """Why the hub's client gave up, and what to do about it, in one line.

    Args:
        error: what ``huggingface_hub`` raised; one class may be another's child, so the order here matters.
    """
    from huggingface_hub import errors

    told = {
        errors.GatedRepoError: "it is gated; accept its terms on its page and log in with the hub's own client",
        errors.RepositoryNotFoundError: "there is no such repository, or it is private; check the id",
        errors.RevisionNotFoundError: "it has no such revision (any more); look the commit up on its page",
        errors.LocalEntryNotFoundError: "the hub cannot be reached; check the network",
        errors.OfflineModeIsEnabled: "HF_HUB_OFFLINE is set; unset it",
        errors.EntryNotFoundError: "it has no such file at that revision; check the file's name and the revision",
    }
    for kind, words in told.items():
        if isinstance(error, kind):
            return words
    lines = [line for line in str(error).splitlines() if line.strip()]
    return f"{lines[0] if lines else type(error).__name__}; check the network"


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
    """One file of a data set on the hub.

    Raises:
        LunarError: it cannot be had.
    """
    import huggingface_hub

    where = {"repo_id": source["id"], "repo_type": "dataset", "revision": source["revision"]}
    try:
        huggingface_hub.hf_hub_download(filename=file, local_dir=folder, **where)
    except Exception as error:  # the client raises many kinds
        raise LunarError(
            f"sources.{name}: {file} of data set {source['id']} at revision {source['revision']} cannot be fetched: "
            f"{reason(error)}. Or download the data set elsewhere, set source to 'path' and name its folder"
        ) from error


def fetch_model(model: Mapping[str, Any], folder: str | Path) -> None:
    """A pinned base model from the hub, with its chat template where the configuration states one.

    Args:
        model: the ``model`` section, of source ``hub``.
        folder: where to; replaced only if all went well.

    Raises:
        LunarError: it cannot be had, or the disk is too small.
    """
    import huggingface_hub

    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    fetch.check_disk(folder.parent, model["disk_gb"])
    with atomic_folder(folder) as temporary:
        try:
            huggingface_hub.snapshot_download(
                model["id"], revision=model["revision"], local_dir=temporary, allow_patterns=PATTERNS
            )
        except Exception as error:  # the client raises many kinds
            raise LunarError(
                f"model {model['id']} at revision {model['revision']} cannot be fetched: {reason(error)}. Or download "
                "it elsewhere, set model.source to 'path' and name its folder"
            ) from error
        if "chat_template" in model:
            write_text(temporary / "chat_template.jinja", model["chat_template"])
        shutil.rmtree(temporary / ".cache", ignore_errors=True)
