"""A PEFT folder of an edit, in the form that docs/serving.md states."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from lunar.edits.edit import Factors
from lunar.edits.low_rank import LowRank
from lunar.edits.peft_folder import configuration


def write_peft(edit: Mapping[str, Factors], folder: Path, base: str, rank: int | None = None, **changes: Any) -> Path:
    """Write an edit as a LoRA of one rank, smaller ones filled up with zeros.

    Args:
        edit: factors by the decoder's name of the module.
        folder: where to.
        base: what the adapter calls its base model.
        rank: of all modules; unless stated the largest one.
        changes: what adapter_config.json says otherwise.
    """
    folder.mkdir(parents=True)
    rank = rank or max(change.left.shape[1] for change in edit.values())
    tensors = {}
    for name, change in edit.items():
        for half, factor in (("A", change.right.T), ("B", change.left)):
            shape = (rank, factor.shape[1]) if half == "A" else (len(factor), rank)
            filled = torch.zeros(shape)
            filled[: factor.shape[0], : factor.shape[1]] = factor
            tensors[f"base_model.model.model.{name}.lora_{half}.weight"] = filled
    save_file(tensors, folder / "adapter_model.safetensors")
    config = configuration(LowRank(dict(edit), rank, {}, {}), base)
    (folder / "adapter_config.json").write_text(json.dumps(config | changes), encoding="utf-8")
    return folder
