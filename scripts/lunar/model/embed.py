"""Sentence embeddings."""

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lunar.errors import LunarError
from lunar.model.devices import own_device


def embedder(settings: Mapping[str, Any]) -> Any:
    """A function from texts to unit vectors, float32 of shape (texts, width).

    Args:
        settings: the ``embedder`` section: ``source`` is ``package`` (a Python package that carries a
            sentence-transformers model, by ``name``), ``path`` (a local folder) or ``hub`` (with ``revision``).

    Raises:
        LunarError: the model cannot be found.
    """
    from sentence_transformers import SentenceTransformer

    name, revision, device = settings["name"], settings.get("revision"), str(own_device())
    try:
        if settings["source"] == "package":
            folder = str(importlib.import_module(name).get_model_path())
            model = SentenceTransformer(folder, local_files_only=True, device=device)
        elif settings["source"] == "path":
            if not Path(name).is_dir():
                raise LunarError(f"embedder.name: no folder {name}")
            model = SentenceTransformer(name, local_files_only=True, device=device)
        else:
            model = SentenceTransformer(name, revision=revision, device=device)
    except (ImportError, OSError) as error:
        raise LunarError(f"embedder: cannot load {name!r} from {settings['source']}: {error}") from error

    def embed(texts: Sequence[str]) -> np.ndarray:
        return model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False)

    return embed
