"""What comes from the hub, with a folder laid out as the hub's in its place; and what is said when nothing comes."""

import json
import shutil
from copy import deepcopy
from pathlib import Path
from typing import Any

import huggingface_hub
import huggingface_hub.constants
import pytest
from huggingface_hub import errors

from lunar.data.checksum import sha256
from lunar.errors import LunarError
from lunar.model.chat import Chat
from lunar.model.fetch import fetch
from lunar.model.hub import fetch_files, fetch_model, reason
from lunar.model.load import load_tokenizer
from lunar.plan import check
from shipped import CONFIG

ROOT = Path(__file__).parents[3]
EXPERIMENTS = deepcopy(CONFIG)["experiments"]
REVISION = "0123456789" * 4
SOURCE: dict[str, Any] = {
    "source": "hub",
    "id": "someone/rows",
    "revision": REVISION,
    "files": {"full": "full.json", "other": "other.json"},
}
MODEL: dict[str, Any] = {
    "name": "m",
    "source": "hub",
    "id": "someone/model",
    "revision": REVISION,
    "disk_gb": 0.001,
}


@pytest.fixture
def hub(tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder laid out as the hub's cache, which takes the place of the network; with a data set and a model."""
    rows = tmp_path / "hub" / "datasets--someone--rows" / "snapshots" / REVISION
    rows.mkdir(parents=True)
    for name in SOURCE["files"].values():
        (rows / name).write_text('[{"question": "Q?", "answer": "A"}]', encoding="utf-8")
    model = tmp_path / "hub" / "models--someone--model" / "snapshots" / REVISION
    shutil.copytree(model_folder, model)
    (model / "pytorch_model.bin").write_bytes(b"a pickle")
    (model / "modeling.py").write_text("raise SystemExit", encoding="utf-8")

    def snapshot(kind: str, repo_id: str, revision: str) -> Path:
        repository = tmp_path / "hub" / f"{kind}s--{repo_id.replace('/', '--')}"
        if not repository.is_dir():
            raise made(errors.RepositoryNotFoundError)
        if not (repository / "snapshots" / revision).is_dir():
            raise made(errors.RevisionNotFoundError)
        return repository / "snapshots" / revision

    def hf_hub_download(repo_id: str, filename: str, *, repo_type: str, revision: str, local_dir: Path) -> None:
        origin = snapshot(repo_type, repo_id, revision) / filename
        if not origin.is_file():
            raise made(errors.RemoteEntryNotFoundError)
        (Path(local_dir) / ".cache").mkdir(exist_ok=True)
        shutil.copy(origin, Path(local_dir) / filename)

    def snapshot_download(repo_id: str, *, revision: str, local_dir: Path, allow_patterns: list[str]) -> None:
        for pattern in allow_patterns:
            for origin in snapshot("model", repo_id, revision).glob(pattern):
                shutil.copy(origin, Path(local_dir) / origin.name)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", hf_hub_download)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return tmp_path / "hub"


def made(kind: type[Exception]) -> Exception:
    """An error of the hub's client without the answer of a server that it wants."""
    error = kind.__new__(kind)
    error.args = ("404 Client Error. (Request ID: x)\n\nmore",)
    return error


def test_files_of_a_data_set(hub: Path, tmp_path: Path) -> None:
    digest = sha256(next(hub.rglob("full.json")))
    fetch_files("rows", SOURCE | {"sha256": {"full.json": digest}}, tmp_path / "fetched")
    assert sorted(path.name for path in (tmp_path / "fetched").iterdir()) == ["full.json", "other.json"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": "someone/gone"}, "someone/gone .*no such repository, or it is private; check the id"),
        ({"revision": "f" * 40}, "at revision ffff.*no such revision .*any more"),
        ({"files": {"full": "none.json"}}, "none.json of data set .*no such file at that revision"),
        ({"sha256": {"other.json": "0" * 64}}, r"other\.json: sha256 is .*, but sources\.rows\.sha256 says 0000"),
    ],
)
def test_a_data_set_that_is_not_as_stated(hub: Path, tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(LunarError, match=message):
        fetch_files("rows", SOURCE | change, tmp_path / "results" / "fetched")
    assert list((tmp_path / "results").iterdir()) == []


def test_files_of_a_folder(hub: Path, tmp_path: Path) -> None:
    folder = next(hub.rglob("full.json")).parent
    local = {"source": "path", "folder": str(folder), "files": SOURCE["files"]}
    fetch_files("rows", local, tmp_path / "fetched")
    assert sorted(path.name for path in (tmp_path / "fetched").iterdir()) == ["full.json", "other.json"]
    with pytest.raises(LunarError, match=r"sources\.rows\.sha256 says 0000"):
        fetch_files("rows", local | {"sha256": {"full.json": "0" * 64}}, tmp_path / "fetched")
    with pytest.raises(LunarError, match=r"sources\.rows: no file .*none\.json; correct its folder"):
        fetch_files("rows", local | {"files": {"full": "none.json"}}, tmp_path / "fetched")
    assert len(list((tmp_path / "fetched").iterdir())) == 2, "what was there is lost"


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (errors.GatedRepoError, "it is gated; accept its terms"),
        (errors.RepositoryNotFoundError, "no such repository"),
        (errors.RevisionNotFoundError, "no such revision"),
        (errors.RemoteEntryNotFoundError, "no such file"),
        (errors.LocalEntryNotFoundError, "cannot be reached"),
        (errors.OfflineModeIsEnabled, "HF_HUB_OFFLINE is set"),
        (ConnectionError, "404 Client Error"),
    ],
)
def test_each_way_to_fail_is_named(kind: type[Exception], words: str) -> None:
    assert words in reason(made(kind))
    assert "\n" not in reason(made(kind))
    assert reason(ValueError("")) == "ValueError; check the network"


def test_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)  # the variable is read at import
    for call in (
        lambda: fetch_files("rows", SOURCE, tmp_path / "made" / "rows"),
        lambda: fetch_model(MODEL, tmp_path / "made" / "model"),
    ):
        why = r"cannot be fetched: (the hub cannot be reached|HF_HUB_OFFLINE is set).* to 'path'"
        with pytest.raises(LunarError, match=why):
            call()
    assert list((tmp_path / "made").iterdir()) == []


def test_what_lies_in_the_hub_s_cache_is_found_offline(hub: Path, tmp_path: Path, monkeypatch) -> None:
    def offline(*arguments: Any, **options: Any) -> None:
        raise made(errors.OfflineModeIsEnabled)

    for name in ("hf_hub_download", "snapshot_download"):
        monkeypatch.setattr(huggingface_hub, name, offline)
    monkeypatch.setenv("HF_HUB_CACHE", str(hub))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    fetch_files("rows", SOURCE, tmp_path / "fetched")
    assert sorted(path.name for path in (tmp_path / "fetched").iterdir()) == ["full.json", "other.json"]
    fetch_model(MODEL, tmp_path / "model")
    names = {path.name for path in (tmp_path / "model").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= names
    assert not {"pytorch_model.bin", "modeling.py"} & names
    assert not any(path.is_symlink() for path in (tmp_path / "model").iterdir())
    [line] = check.source(MODEL)
    assert line.state == check.OK and "in the hub's cache here" in line.found
    # Half a model is none: a shard of it is missing.
    [folder] = {path.parent for path in hub.rglob("config.json")}
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    (folder / "model-00001-of-00002.safetensors").touch()
    with pytest.raises(LunarError, match="cannot be fetched: HF_HUB_OFFLINE is set"):
        fetch_model(MODEL, tmp_path / "other")
    assert [line.state for line in check.source(MODEL)] == [check.STOP]


def test_a_model_is_fetched_without_code_or_pickles(hub: Path, tmp_path: Path) -> None:
    fetch_model(MODEL, tmp_path / "model")
    names = {path.name for path in (tmp_path / "model").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= names
    assert not {"pytorch_model.bin", "modeling.py"} & names
    with pytest.raises(LunarError, match=r"model someone/model at revision ffff.*no such revision"):
        fetch_model(MODEL | {"revision": "f" * 40}, tmp_path / "other")
    with pytest.raises(LunarError, match="GB needed"):
        fetch_model(MODEL | {"disk_gb": 1e9}, tmp_path / "other")


def test_a_stated_chat_template_serves_a_tokenizer_without_one(hub: Path, tmp_path: Path) -> None:
    for path in hub.rglob("*chat_template*"):
        path.unlink()
    local = {"name": "m", "source": "path", "folder": str(tmp_path / "plain"), "disk_gb": 0}
    fetch_model(MODEL, tmp_path / "plain")
    with pytest.raises(LunarError, match="no chat template"):
        fetch(local, tmp_path / "models" / "plain")
    template = EXPERIMENTS["tofu-llama2-7b"]["model"]["chat_template"]
    fetch_model(MODEL | {"chat_template": template}, tmp_path / "stated")
    fetch(local | {"folder": str(tmp_path / "stated")}, tmp_path / "models" / "stated")
    tokenizer = load_tokenizer(tmp_path / "models" / "stated")
    start, end = tokenizer.bos_token, tokenizer.eos_token
    talk = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Who?"},
        {"role": "assistant", "content": "Me."},
        {"role": "user", "content": "Why?"},
    ]
    said = tokenizer.apply_chat_template(talk, tokenize=False)
    first = f"{start}[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nWho? [/INST] Me. {end}"
    assert said == f"{first}{start}[INST] Why? [/INST]", "as Llama-2-chat has it"
    chat = Chat(tokenizer)
    encoded = chat.encode("Why?")
    assert tokenizer.decode(encoded.ids) == f"{start}[INST] Why? [/INST]"
    assert chat.end_ids == [tokenizer.eos_token_id]
