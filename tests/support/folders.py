"""Model folders of a few bytes: files, and safetensors of zeros."""

import json
import struct
from pathlib import Path
from typing import Any

SHAPES = {
    "model.embed_tokens.weight": [8, 4],
    "model.norm.weight": [4],
    "model.layers.0.mlp.down_proj.weight": [4, 6],
    "model.layers.0.self_attn.q_norm.weight": [4],
    "model.layers.1.mlp.down_proj.weight": [4, 6],
    "lm_head.weight": [8, 4],
}
TOKENIZER = {"model": {"vocab": {"a": 0, "b": 6}}, "added_tokens": [{"content": "<end>", "id": 7}]}
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"


def tensors(shapes: dict[str, list[int]] = SHAPES, kind: str = "F32", cut: int = 0) -> bytes:
    """A safetensors file of zeros, or all of it but the last bytes."""
    told, end = {}, 0
    for name, shape in shapes.items():
        size = 4
        for one in shape:
            size *= one
        told[name] = {"dtype": kind, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(told | {"__metadata__": {"format": "pt"}}).encode()
    whole = struct.pack("<Q", len(text)) + text + bytes(end)
    return whole[: len(whole) - cut]


def write(folder: Path, files: dict[str, Any]) -> Path:
    """Files of a folder: bytes, text, or what JSON is made of; None takes one away."""
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        if content is None:
            path.unlink()
        elif isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return folder
