"""What lies in the hub's cache on this machine. Asks no network, and imports no client: planning reads it."""

import json
import os
from collections.abc import Iterable
from pathlib import Path


def snapshot(repository: str, revision: str, kind: str = "model") -> Path:
    """Where the cache has a repository's files of a commit, if it has them.

    Args:
        repository: owner/name.
        revision: full commit.
        kind: model or dataset.
    """
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    cache = Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub").expanduser()
    return cache / f"{kind}s--{repository.replace('/', '--')}" / "snapshots" / revision


def model(repository: str, revision: str) -> Path | None:
    """The folder of a model in the cache, if configuration, tokenizer and all weights are there as safetensors.

    Of an adapter, configuration and weights are all that there is.
    """
    folder = snapshot(repository, revision)
    if all((folder / name).is_file() for name in ("adapter_config.json", "adapter_model.safetensors")):
        return folder
    index = folder / "model.safetensors.index.json"
    try:
        shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (OSError, ValueError, KeyError):
        shards = {"model.safetensors"}
    tokenizer = any(path.is_file() for name in ("tokenizer.json", "*.model", "vocab.*") for path in folder.glob(name))
    there = tokenizer and all((folder / name).is_file() for name in ("config.json", *shards))
    return folder if there else None


def files(repository: str, revision: str, names: Iterable[str]) -> Path | None:
    """The folder of a data set in the cache, if all of these files are there."""
    folder = snapshot(repository, revision, "dataset")
    return folder if all((folder / name).is_file() for name in names) else None
