"""Sentence embeddings."""

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lunar.errors import LunarError
from lunar.model import embedder_files, hub_cache
from lunar.model.devices import own_device
from lunar.model.hub_errors import reason


def embedder(settings: Mapping[str, Any]) -> Any:
    """A function from texts to unit vectors, float32 of shape (texts, width).

    Args:
        settings: the ``embedder`` section: ``source`` is ``package`` (a Python package that carries a
            sentence-transformers model, by ``name``), ``path`` (a local folder) or ``hub`` (with ``revision``).

    Raises:
        LunarError: the model cannot be found, or it would run code or unpickle weights to be loaded.
    """
    name = settings["name"]
    try:
        folder = folder_of(settings)
        embedder_files.check(folder)
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer(
            str(folder),
            local_files_only=True,
            trust_remote_code=False,
            model_kwargs={"use_safetensors": True},
            device=str(own_device()),
        )
    except (ImportError, AttributeError, OSError, ValueError) as error:
        raise LunarError(f"embedder: cannot load {name!r} from {settings['source']}: {error}") from error

    def embed(texts: Sequence[str]) -> np.ndarray:
        return model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False)

    return embed


def folder_of(settings: Mapping[str, Any]) -> Path:
    """Where the model is; one of a hub is fetched into the hub's cache where it is not there yet."""
    name = settings["name"]
    if settings["source"] == "package":
        return Path(importlib.import_module(name).get_model_path())
    if settings["source"] == "path":
        return Path(name).expanduser()
    if found := hub_cache.model(name, settings["revision"]):
        return found
    import huggingface_hub

    try:
        patterns = embedder_files.PATTERNS
        return Path(huggingface_hub.snapshot_download(name, revision=settings["revision"], allow_patterns=patterns))
    except Exception as error:  # the client raises many kinds
        raise LunarError(
            f"embedder {name} at revision {settings['revision']} cannot be fetched: {reason(error)}. Or download it "
            "elsewhere, set embedder.source to 'path' and name its folder"
        ) from error
