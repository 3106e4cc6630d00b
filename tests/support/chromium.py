"""Chromium without a window and without a network, driven by its DevTools protocol over a pipe.

The protocol is JSON, one message a NUL byte, so this takes no package beside Chromium itself.
"""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium")
WIDTH, HEIGHT = 1280, 900  # pixels of the window
TALLEST = 6000  # pixels of a page that a screenshot shows
SECONDS = 60  # to wait for anything
# Whatever a page asks for goes to a proxy that is none: port 9 discards, if anybody listens at all.
FLAGS = """--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --remote-debugging-pipe --disable-quic
--no-first-run --disable-background-networking --disable-component-update --disable-sync --disable-extensions
--hide-scrollbars --mute-audio --force-device-scale-factor=1
--disable-site-isolation-trials --proxy-server=127.0.0.1:9 --proxy-bypass-list=<-loopback>"""
CHECKS = (Path(__file__).parent / "checks.js").read_text(encoding="utf-8")


class Browser:
    """Start with ``with``; at the end the process is gone and its profile removed."""

    def __enter__(self):
        self.profile = tempfile.mkdtemp(prefix="lunar-chromium-")
        (their_in, self.out), (self.into, their_out) = os.pipe(), os.pipe()
        # Chromium reads descriptor 3 and writes 4: numbers that pipes may have got here, so they move out of the way.
        theirs = [fcntl.fcntl(number, fcntl.F_DUPFD, 10) for number in (their_in, their_out)]
        command = [str(CHROMIUM), *FLAGS.split(), f"--user-data-dir={self.profile}", f"--window-size={WIDTH},{HEIGHT}"]
        redirected = ["bash", "-c", f'exec "$@" 3<&{theirs[0]} 4>&{theirs[1]}', "bash", *command, "about:blank"]
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen(redirected, pass_fds=theirs, stdin=quiet, stdout=quiet, stderr=quiet)
        for number in (their_in, their_out, *theirs):
            os.close(number)
        self.read, self.number, self.events = b"", 0, []
        try:
            self.attach()
        except BaseException:
            self.__exit__()
            raise
        return self

    session: str | None = None

    def attach(self) -> None:
        """Open a tab of the window's size and have its events told."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        size = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.out)
        os.close(self.into)
        shutil.rmtree(self.profile, ignore_errors=True)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """What Chromium answers to a command of the protocol; events that come meanwhile are kept."""
        self.number = number = self.number + 1
        message = {"id": number, "method": method, "params": parameters}
        message |= {"sessionId": self.session} if self.session else {}
        os.write(self.out, json.dumps(message).encode() + b"\0")
        answer = self.until(lambda: next((one for one in self.events if one.get("id") == number), None), method)
        self.events.remove(answer)
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    def until(self, found: Callable[[], Any], what: str, asking: float = 0) -> Any:
        """What ``found`` returns once that is true, asked after each message and every ``asking`` seconds."""
        end = time.monotonic() + SECONDS
        while not (value := found()):
            assert time.monotonic() < end, f"{what}: not after {SECONDS} s"
            assert self.process.poll() is None, f"{what}: Chromium ended with {self.process.returncode}"
            if select.select([self.into], [], [], asking or 1)[0]:
                self.read += os.read(self.into, 2**20)
                *whole, self.read = self.read.split(b"\0")
                self.events += map(json.loads, whole)
        return value

    def open(self, page: Path) -> None:
        """Open a file and wait until it is loaded and drawn; faults are counted from here on."""
        self.events.clear()
        self.address = page.resolve().as_uri()
        said = self.call("Page.navigate", url=self.address)
        assert "errorText" not in said, f"{page}: {said['errorText']}"
        self.until(lambda: self.seen("Page.loadEventFired"), f"{page}: load")
        self.drawn()

    def drawn(self) -> None:
        """Wait until what scripts changed is on the screen, pictures and frames included."""
        self.ask("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        self.when("[...document.images].every((image) => image.complete)")

    def ask(self, script: str) -> Any:
        """The value of JavaScript in the page; AssertionError with its words where it throws."""
        said = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in said, said.get("exceptionDetails")
        return said["result"].get("value")

    def when(self, script: str) -> None:
        """Wait until JavaScript in the page is true."""
        self.until(lambda: self.ask(script), script, asking=0.05)

    def seen(self, event: str) -> list[dict[str, Any]]:
        """Parameters of the events of a kind since the page was opened."""
        return [one["params"] for one in self.events if one.get("method") == event]

    def faults(self) -> list[str]:
        """Errors on the console and requests for anything but the opened file, since it was opened."""
        thrown = [one["exceptionDetails"] for one in self.seen("Runtime.exceptionThrown")]
        found = [f"error: {one.get('exception', {}).get('description') or one['text']}" for one in thrown]
        for one in self.seen("Runtime.consoleAPICalled"):
            if one["type"] in ("error", "assert"):
                found.append("error: " + " ".join(str(each.get("value", each["type"])) for each in one["args"]))
        entries = [one["entry"] for one in self.seen("Log.entryAdded")]
        found += [f"error: {one['text']} {one.get('url', '')[:200]}" for one in entries if one["level"] == "error"]
        asked = [one["request"]["url"] for one in self.seen("Network.requestWillBeSent")]
        asked += [one["url"] for one in self.seen("Network.webSocketCreated")]
        own = ("data:", "blob:", "about:", self.address)
        return found + [f"request: {url[:200]}" for url in asked if not url.startswith(own)]

    def check(self, *names: str) -> list[str]:
        """What functions of checks.js find wrong with the page."""
        return [fault for name in names for fault in self.ask(f"(() => {{ {CHECKS} return {name}(); }})()")]

    def screenshot(self, path: Path, whole: bool = True) -> None:
        """Keep what is seen as PNG: the page down to its end, or the window."""
        more = {}
        if whole:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            clip = {
                "x": 0,
                "y": 0,
                "width": max(WIDTH, size["width"]),
                "height": min(TALLEST, size["height"]),
                "scale": 1,
            }
            more = {"captureBeyondViewport": True, "clip": clip}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png", **more)["data"]))
