"""The client against a real server on this machine, which answers as servers do on good and on bad days."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from lunar.endpoint import KEY, complete
from lunar.errors import LunarError

SECRET = "sk-secret-1234567890"
GOOD = json.dumps({"choices": [{"message": {"role": "assistant", "content": " In other words? \n"}}]})


class Server(ThreadingHTTPServer):
    """Answers with ``status``, ``content`` and ``headers`` after ``wait`` seconds, and keeps what it was sent."""

    status: int = 200
    content: str = GOOD
    wait: float = 0.0
    headers: dict[str, str]
    cut: bool = False

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.headers = {}
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])) if "Content-Length" in self.headers else b"null"
        self.server.asked.append({"path": self.path, "headers": dict(self.headers), "body": json.loads(body)})
        time.sleep(self.server.wait)
        content = self.server.content.encode()
        self.send_response(self.server.status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content) + 100 * self.server.cut))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv(KEY, SECRET)
    with Server() as one:
        thread = threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield one
        one.shutdown()
        thread.join()


def test_asks_and_gives_the_text(server: Server) -> None:
    assert complete({"url": server.url + "/", "model": "m"}, "Why “so”?") == "In other words?"
    (asked,) = server.asked
    assert asked["path"] == "/v1/chat/completions"
    assert asked["headers"]["Authorization"] == f"Bearer {SECRET}"
    assert asked["body"] == {
        "model": "m",
        "messages": [{"role": "user", "content": "Why “so”?"}],
        "temperature": 0,
    }


def test_no_key_no_header(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY)
    complete({"url": server.url, "model": "m"}, "Why?")
    assert "Authorization" not in server.asked[0]["headers"]


@pytest.mark.parametrize(
    ("status", "content", "message"),
    [
        (401, f"bad key {SECRET}", f"HTTP 401.*set {KEY}"),
        (404, "", "HTTP 404.*check url and model"),
        (429, "", "HTTP 429.*wait"),
        (500, f"oops {SECRET}", "HTTP 500"),
        (200, "<html>", "no chat completion"),
        (200, f'"{SECRET}"', "no chat completion"),
        (200, "[]", "no chat completion"),
        (200, '{"choices": []}', "no chat completion"),
        (200, '{"choices": [{"message": {"content": null}}]}', "no chat completion"),
        (200, '{"choices": [{"message": {"content": "  "}}]}', "no chat completion"),
    ],
)
def test_bad_replies_end_in_one_line_without_the_key(server: Server, status: int, content: str, message: str) -> None:
    server.status, server.content = status, content
    with pytest.raises(LunarError, match=message) as caught:
        complete({"url": server.url, "model": "m"}, "Why?")
    assert SECRET not in str(caught.value) and "\n" not in str(caught.value)
    assert caught.value.__cause__ is None or SECRET not in str(caught.value.__cause__)


def test_a_slow_server(server: Server) -> None:
    server.wait = 1.0
    with pytest.raises(LunarError, match=r"no reply in 0\.1 s"):
        complete({"url": server.url, "model": "m"}, "Why?", seconds=0.1)


def test_a_reply_cut_short(server: Server) -> None:
    server.cut = True
    with pytest.raises(LunarError, match="cannot be asked"):
        complete({"url": server.url, "model": "m"}, "Why?", seconds=5)


@pytest.mark.parametrize("status", [301, 302, 307])
def test_the_key_follows_no_redirect(server: Server, status: int) -> None:
    server.status, server.headers = status, {"Location": f"{server.url}/elsewhere"}
    with pytest.raises(LunarError, match="new address"):
        complete({"url": server.url, "model": "m"}, "Why?")
    assert len(server.asked) == 1


def test_nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    with socket.socket() as held:  # bound, but nobody listens
        held.bind(("127.0.0.1", 0))
        with pytest.raises(LunarError, match="cannot be asked"):
            complete({"url": f"http://127.0.0.1:{held.getsockname()[1]}", "model": "m"}, "Why?")


@pytest.mark.parametrize("url", ["file:///etc", "localhost:8000", "ftp://x"])
def test_other_addresses(url: str) -> None:
    with pytest.raises(LunarError, match="http"):
        complete({"url": url, "model": "m"}, "Why?")


@pytest.mark.parametrize("key", ["sk-a\nb", "sk-ü"])
def test_a_key_that_is_none(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv(KEY, key)
    with pytest.raises(LunarError, match=KEY) as caught:
        complete({"url": "http://127.0.0.1:9", "model": "m"}, "Why?")
    assert key not in str(caught.value)
