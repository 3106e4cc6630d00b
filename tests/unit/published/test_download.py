"""Pinned downloads, from a server on this machine and from files."""

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lunar.errors import LunarError
from lunar.published.download import download

COMMIT = "c" * 40
CONTENT = {"a.jsonl": b'{"question": "Q?"}\n', "b.jsonl": b"\xff\x00"}
FILES = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()}


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    folder = tmp_path / "origin" / COMMIT
    folder.mkdir(parents=True)
    for name, content in CONTENT.items():
        (folder / name).write_bytes(content)
    return folder.parent


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(params=["http", "file"])
def url(request: pytest.FixtureRequest, origin: Path) -> Iterator[str]:
    if request.param == "file":
        yield origin.as_uri() + "/{commit}/{file}"
        return
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(origin))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/{{commit}}/{{file}}"
        server.shutdown()


def test_download(url: str, tmp_path: Path) -> None:
    download(url, COMMIT, FILES, tmp_path / "new" / "outputs")
    assert {path.name: path.read_bytes() for path in (tmp_path / "new" / "outputs").iterdir()} == CONTENT


@pytest.mark.parametrize(
    ("commit", "files", "words"),
    [
        (COMMIT, FILES | {"b.jsonl": "0" * 64}, ["b.jsonl: sha256 is", "published.fetch.files says 000"]),
        (COMMIT, FILES | {"c.jsonl": "0" * 64}, ["c.jsonl cannot be fetched", "published.path"]),
        ("d" * 40, FILES, ["a.jsonl cannot be fetched"]),
    ],
    ids=["checksum", "no such file", "no such commit"],
)
def test_all_or_nothing(url: str, tmp_path: Path, commit: str, files: dict[str, str], words: list[str]) -> None:
    with pytest.raises(LunarError) as caught:
        download(url, commit, files, tmp_path / "new" / "outputs")
    assert all(word in str(caught.value) for word in words)
    assert list((tmp_path / "new").iterdir()) == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/{commit}/{file}", "gopher://x/{commit}/{file}"])
def test_no_server(url: str, tmp_path: Path) -> None:
    with pytest.raises(LunarError, match="cannot be fetched"):
        download(url, COMMIT, FILES, tmp_path / "outputs")
    assert not (tmp_path / "outputs").exists()
