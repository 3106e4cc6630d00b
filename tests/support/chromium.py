"""Debian's Chromium without a window and without a network, driven by Playwright."""

import shutil
from pathlib import Path
from typing import Any

from playwright.sync_api import Error, sync_playwright

CHROMIUM = shutil.which("chromium")
WIDTH, HEIGHT = 1280, 900  # pixels of the window
TALLEST = 6000  # pixels of a page that a screenshot shows
SECONDS = 60  # to wait for anything
# Whatever a page asks for goes to a proxy that is none: port 9 discards, if anybody listens at all.
NOWHERE = {"server": "127.0.0.1:9", "bypass": "<-loopback>"}
CHECKS = (Path(__file__).parent / "checks.js").read_text(encoding="utf-8")


class Browser:
    """A browser with one tab. Start it with ``with``; at the end the process is gone and its profile removed."""

    def __enter__(self):
        self.playwright = sync_playwright().start()
        try:
            started = self.playwright.chromium.launch(executable_path=CHROMIUM, proxy=NOWHERE)
            self.page = started.new_page(viewport={"width": WIDTH, "height": HEIGHT}, device_scale_factor=1)
        except BaseException:
            self.__exit__()
            raise
        self.page.set_default_timeout(SECONDS * 1000)
        self.errors: list[str] = []
        self.asked: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(error.stack or error.message))
        self.page.on("console", self._hear)
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("websocket", lambda socket: self.asked.append(socket.url))
        return self

    def __exit__(self, *_):
        self.playwright.stop()

    def _hear(self, message: Any) -> None:
        """Keep what a page, or Chromium about it, writes to the console as an error."""
        if message.type in ("error", "assert"):
            self.errors.append(f"{message.text} {message.location['url'][:200]}")

    def open(self, page: Path, width: int = WIDTH) -> None:
        """Open a file in a window of some width, and wait until it is loaded and drawn; faults count from here on."""
        self.page.goto("about:blank")
        self.page.set_viewport_size({"width": width, "height": HEIGHT})
        self.errors.clear()
        self.asked.clear()
        self.address = page.resolve().as_uri()
        self.page.goto(self.address)
        self.drawn()

    def drawn(self) -> None:
        """Wait until what scripts changed is on the screen, pictures and frames included."""
        self.ask("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        self.when("[...document.images].every((image) => image.complete)")

    def ask(self, script: str) -> Any:
        """The value of JavaScript in the page; AssertionError with its words where it throws."""
        try:
            return self.page.evaluate(script)
        except Error as error:
            raise AssertionError(f"{script}: {error.message}") from None

    def when(self, script: str) -> None:
        """Wait until JavaScript in the page is true."""
        self.page.wait_for_function(script)

    def faults(self) -> list[str]:
        """Errors on the console and requests for anything but the opened file, since it was opened."""
        own = ("data:", "blob:", "about:", self.address)
        outside = [url for url in self.asked if not url.startswith(own)]
        return [f"error: {text}" for text in self.errors] + [f"request: {url[:200]}" for url in outside]

    def check(self, *names: str) -> list[str]:
        """What functions of checks.js find wrong with the page."""
        return [fault for name in names for fault in self.ask(f"(() => {{ {CHECKS} return {name}(); }})()")]

    def screenshot(self, path: Path, whole: bool = True) -> None:
        """Keep what is seen as PNG: the page down to its end, or the window."""
        path.parent.mkdir(parents=True, exist_ok=True)
        if whole and self.ask("document.body === null"):  # a figure, whose whole Playwright cannot tell
            self.page.locator(":root").screenshot(path=path)
        elif whole:  # the part of this box that there is
            box = {"x": 0, "y": 0, "width": TALLEST, "height": TALLEST}
            self.page.screenshot(path=path, full_page=True, clip=box)
        else:
            self.page.screenshot(path=path)
