"""What a person watching the terminal sees, and what a log keeps."""

import logging
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lunar.data import locks
from lunar.errors import LunarError, out_of_memory

BAR = 24
SCREEN_SECONDS = 10.0


class Progress:
    """Messages and progress bars of one job: every line to its log, a line now and then to the screen."""

    def __init__(self, title: str, log: str | Path) -> None:
        self._title = title
        self._log = Path(log)
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._log.write_text("", encoding="utf-8")
        self._bar_started = self._screen_at = time.monotonic()

    def say(self, text: str, screen: bool = True) -> None:
        """Write a line to the log, and to the screen unless told otherwise."""
        if screen:
            print(f"  {self._title} | {text}", file=sys.stderr, flush=True)
        # On a full disk the screen has to do: a log that cannot be written is no reason to end.
        with suppress(OSError), self._log.open("a", encoding="utf-8") as log:
            log.write(f"{time.strftime('%H:%M:%S')} {text}\n")

    def bar(self, what: str, total: int) -> Callable[[int], None]:
        """A function to call with the number of items done; the screen gets a line every ten seconds at most."""
        self._bar_started = self._screen_at = time.monotonic()

        def update(done: int) -> None:
            now = time.monotonic()
            left = (now - self._bar_started) / max(1, done) * (total - done)
            filled = "#" * (BAR * done // max(1, total))
            due = done < total and now - self._screen_at >= SCREEN_SECONDS
            if due:
                self._screen_at = now
            self.say(f"{what} [{filled:<{BAR}}] {done}/{total}, about {left:.0f} s left", screen=due)

        return update


@contextmanager
def script(title: str, log: str | Path) -> Iterator[Progress]:
    """Run a script's body: libraries' own chatter goes to the log, and errors end in one readable message.

    A ``LunarError`` prints its message; anything else is a defect and leaves its traceback in the log too. The body
    waits until no other process runs the same job; a job is known by its log.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TQDM_DISABLE", "1")
    try:
        locks.hold(log)
    except LunarError as error:
        raise SystemExit(f"  {title} | error: {error}") from None
    progress = Progress(title, log)
    logging.captureWarnings(True)
    logging.basicConfig(filename=str(log), level=logging.WARNING, format="%(name)s %(levelname)s %(message)s")
    started = time.monotonic()
    try:
        yield progress
    except LunarError as error:
        progress.say(f"error: {error}")
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        progress.say("interrupted", screen=False)
        raise
    except Exception as error:
        progress.say(traceback.format_exc(), screen=False)
        reason = "".join(traceback.format_exception_only(error)).strip()
        if out_of_memory(error):
            reason += "; lower batch_size (of generation, activations, finetune, or the method) or free memory"
        progress.say(f"failed: {reason} (traceback in {log})")
        raise SystemExit(1) from None
    else:
        progress.say(f"done in {time.monotonic() - started:.0f} s")
    finally:
        locks.release(log)
