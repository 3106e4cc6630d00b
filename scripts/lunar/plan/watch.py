"""What a person sees of a run: a line in words for each finished step and, on a terminal, a bar beneath. No torch.

``Screen`` takes the place of the handler by which Snakemake writes to the terminal. Snakemake's log file keeps what is
left out here: dates, job ids, resources and reasons. What jobs print goes to a file beside that log.
"""

import logging
import os
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lunar.plan.estimate import Remaining
from lunar.plan.job_output import Printed, ending, last_line
from lunar.plan.machine import duration

TURN = 0.5  # seconds between two looks at what jobs print
SILENCE = 60.0  # seconds without a line after which plain output says what is being done
SHORT = 10.0  # seconds in which nobody asks how long a run will take
RUNNING = 4  # steps at work that are shown beneath the bar
# Messages of Snakemake that a person is to see; all others of their level are in its log file alone.
SHOWN = re.compile(r"Nothing to be done|Trying to restart|Terminating processes|Will exit after")
# Said of every failed job, which is told in its own words.
SAID_ALREADY = re.compile(r"CalledProcessError in file|^Exiting because a job execution failed")
SCRIPT_LINE = re.compile(r"  .+? \| (.+)")  # a line that lunar.progress or lunar.data.locks prints
PASSING = re.compile(r"s left$|^done in |^(error|failed): ")  # a bar, an epoch, an end: no result of a step


class Asked(NamedTuple):
    """What a command line says of the screen.

    Attributes:
        dry: nothing will be run.
        every_job: a dry run lists its jobs, with their reasons.
        quiet: only errors are shown.
        no_colour: as ``NO_COLOR`` in the environment says, too.
    """

    dry: bool = False
    every_job: bool = False
    quiet: bool = False
    no_colour: bool = False


class Step(NamedTuple):
    """A job at work.

    Attributes:
        message: what it does, its rule's ``message``; empty for a target, which does nothing.
        log: where its script writes; None where there is none.
        started: seconds of ``time.monotonic``.
        speaks: its result is what it prints, as its rule has no output.
    """

    message: str
    log: Path | None
    started: float
    speaks: bool


def step(message: str | None, outputs: Iterable[str], logs: Iterable[str]) -> Step:
    """A job as Snakemake tells of it when it starts."""
    log = next((Path(path) for path in logs), None)
    return Step(message or "", log, time.monotonic(), log is not None and not [*outputs])


class Screen(logging.Handler):
    """Snakemake's records as a person reads them."""

    def __init__(self, plain: logging.StreamHandler, log: Path | None, asked: Asked) -> None:
        """Nothing is shown yet.

        Args:
            plain: Snakemake's own handler, which shows what is no run.
            log: Snakemake's log file; None where it writes none.
            asked: what the command line says of the screen.
        """
        super().__init__()
        self.is_for: Callable[[], bool] = lambda: True  # asked once, when a run starts
        self._plain, self._log, self._asked = plain, log, asked
        self._first: logging.LogRecord | None = None
        self._mute = False
        self._began, self._said_at = time.monotonic(), time.monotonic()
        self._ours = self._headed = self._idle = self._interrupted = False
        self._total = self._done = 0
        self._steps: dict[int, Step] = {}
        self._failed: dict[int, str] = {}
        self._results: set[str] = set()  # what scripts printed
        self._foreign: deque[str] = deque(maxlen=5)  # what anything else printed
        self._remaining: Remaining | None = None
        self._printed: Printed | None = None
        self._live: Live | None = None
        self._end = threading.Event()
        self._console = _console(plain.stream, asked)
        self._lively = self._console.is_terminal and not self._console.is_dumb_terminal

    def begin(self, heading: str, steps: int, remaining: Remaining) -> None:
        """Say what the run is, before its first step.

        Args:
            heading: lines.
            steps: jobs that make something.
            remaining: tells the time that is left.
        """
        self._total, self._remaining, self._began = steps, remaining, time.monotonic()
        if self._ours:
            self._say(heading)
            self._headed = True

    @property
    def at_work(self) -> bool:
        """Whether the run is shown here."""
        return self._ours

    def emit(self, record: logging.LogRecord) -> None:
        """Show a record, or leave it to the log file."""
        try:
            event = str(getattr(getattr(record, "event", None), "value", ""))
            self._mute = self._asked.quiet and record.levelno < logging.WARNING
            if event == "workflow_started":  # how it runs is known with the next record
                self._first = record
                return
            if self._first:
                self._decide(self._first)
            if self._ours:
                getattr(self, f"_on_{event}", self._on_other)(record)
            elif not record.getMessage().startswith("Assuming unrestricted shared filesystem"):
                self._plain.handle(record)
        except Exception:
            self.handleError(record)

    def _decide(self, first: logging.LogRecord) -> None:
        """Begin to show a run, or leave it to Snakemake's own handler."""
        self._first, self._ours = None, self.is_for()
        if not self._ours:
            self._plain.handle(first)
        elif not self._asked.dry:
            self._say("Planning the run.")

    def _on_run_info(self, record: logging.LogRecord) -> None:
        if not record.stats["total"]:  # as with --until; else Snakemake says so itself
            if not self._idle:
                self._say("Nothing to be done: all that is asked for is there and up to date.")
            self._idle = True
        elif not self._asked.dry:
            self._total = record.stats["total"]
        elif not self._total:
            self._total, self._mute = record.stats["total"], False
            self._say(str(record.msg))

    def _on_group_info(self, record: logging.LogRecord) -> None:
        if self._asked.dry and self._asked.every_job:
            self._plain.handle(record)

    def _on_job_info(self, record: logging.LogRecord) -> None:
        if self._asked.dry:
            if self._asked.every_job:
                self._plain.handle(record)
            return
        new = self._steps[record.jobid] = step(record.rule_msg, record.output, record.log)
        if new.speaks:
            self._pause()
        elif self._total:
            self._headed = True
            self._resume()

    def _on_job_finished(self, record: logging.LogRecord) -> None:
        ended = self._steps.pop(record.job_id, None)
        if self._asked.dry or ended is None:
            return
        self._failed.pop(record.job_id, None)
        self._done += not ended.speaks and bool(ended.message)
        self._read_printed()
        left = self._remaining.finished(record.job_id) if self._remaining else None
        if ended.speaks:
            self._resume()
        elif ended.message:
            took = duration(time.monotonic() - ended.started)
            result = self._result(ended.log)
            line = Text(f"{self._done:>{len(str(self._total))}} of {self._total}  {ended.message}")
            line.append(f" ({took}; {result})" if result else f" ({took})", style="dim")
            self._say(line, cut=self._lively)
            if left and not self._lively and time.monotonic() - self._began >= SHORT:
                self._say(f"{left}.")

    def _on_job_error(self, record: logging.LogRecord) -> None:
        ended = self._steps.pop(record.jobid, None) or step(record.rule_name, record.output, record.log)
        message = ended.message or record.rule_name
        self._read_printed()
        if ended.speaks:  # it has said why
            self._failed[record.jobid] = message
            self._resume()
            return
        said = ending(ended.log) if ended.log else ""
        if self._interrupted or said == "interrupted":
            self._interrupted = True
            return
        self._failed[record.jobid] = message
        lines = said.splitlines() or [*self._foreign]
        self._say(Text(f"Failed: {message}", style="bold red"))
        for line in lines:
            self._say(f"  {line}")
        if ended.log and ended.log.is_file():
            self._say(f"  log: {ended.log}")
        if self._steps and self._headed:
            running = [one.message for one in self._steps.values() if one.message]
            self._say(f"  Still at work: {'; '.join(running)}.")

    def _on_error(self, record: logging.LogRecord) -> None:
        if "At least one job did not complete successfully" in record.getMessage():
            self._stopped()
        else:
            self._on_other(record)

    def _on_other(self, record: logging.LogRecord) -> None:
        said = self._plain.format(record)
        if said.startswith("Complete log(s): "):
            if not self._failed and self._headed and self._done == self._total:
                self._rest()
                took = duration(time.monotonic() - self._began)
                self._say(f"Done in {took}: {self._done} of {self._total} steps.\n{self._where()}")
        elif self._asked.dry and said.startswith("This was a dry-run"):
            self._say("Nothing was run. `snakemake -n -p` lists every step with its reason.")
        elif self._asked.dry and said.startswith("Reasons:"):
            self._say(said.replace("\n    (check individual jobs above for details)", ""))
        elif record.levelno >= logging.WARNING:
            if not SAID_ALREADY.search(said):
                self._say(Text(said, style="red" if record.levelno >= logging.ERROR else "yellow"))
        elif SHOWN.search(said):
            self._interrupted |= said.startswith("Terminating processes")
            self._say(said)

    def _on_nothing(self, record: logging.LogRecord) -> None:
        """What a person needs nothing of."""

    _on_job_started = _on_progress = _on_resources_info = _on_shellcmd = _on_rulegraph = _on_nothing

    def _on_debug_dag(self, record: logging.LogRecord) -> None:
        self._plain.handle(record)

    def _stopped(self) -> None:
        """The last words of a run that did not end well."""
        self._rest()
        took = duration(time.monotonic() - self._began)
        done = f"after {took}: {self._done} of {self._total} steps are done"
        again = "give the same command again; it starts where this ended."
        if self._headed and self._interrupted:
            self._say(f"Interrupted {done}.\nTo go on, {again}")
        elif self._headed:
            self._say(f"Stopped {done}, {len(self._failed)} failed.")
            for message in self._failed.values():
                self._say(f"  failed: {message}")
            self._say(f"To go on, put right what is said above and {again}")
        self._say(self._where())

    def _where(self) -> str:
        return f"Each step's reason and times: {os.path.relpath(self._log) if self._log else 'no log is kept'}"

    def _result(self, log: Path | None) -> str:
        """What a step's script said last on the screen of what it found."""
        with suppress(OSError):
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log else []
            return next((one[9:] for one in reversed(lines) if one[9:] in self._results), "")
        return ""

    def _say(self, text: str | Text, cut: bool = False) -> None:
        """A line that stays."""
        self._said_at = time.monotonic()
        if self._mute:
            return
        fold = {"no_wrap": True, "overflow": "ellipsis"} if cut else {"soft_wrap": True}
        self._console.print(text, markup=False, highlight=False, **fold)

    def _read_printed(self) -> None:
        for line in self._printed.lines() if self._printed else ():
            if found := SCRIPT_LINE.fullmatch(line):
                if "; waiting for it to end (" in line:
                    self._say(line)
                elif not PASSING.search(found[1]):
                    self._results.add(found[1])
            elif line.strip():
                self._foreign.append(line)

    def _resume(self) -> None:
        """Keep what jobs print from the terminal, and draw the bar."""
        if self._log is None:
            return
        if self._printed is None:
            self._printed = Printed(self._log.with_suffix(".jobs.log"))
            threading.Thread(target=self._keep_up, daemon=True).start()
        self._printed.resume()
        if self._lively and not self._asked.quiet and self._live is None:
            self._live = Live(
                get_renderable=self._drawn,
                console=self._console,
                auto_refresh=False,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start(refresh=True)

    def _pause(self) -> None:
        """Leave the terminal to a job that speaks for itself."""
        if self._live:
            self._live.stop()
            self._live = None
        if self._printed:
            self._printed.pause()

    def _rest(self) -> None:
        """Leave the terminal for good."""
        self._end.set()
        self._pause()

    def _keep_up(self) -> None:
        """Redraw the bar; on plain output, say now and then what is being done."""
        while not self._end.wait(TURN):
            self.acquire()
            try:
                if self._end.is_set():
                    return
                self._read_printed()
                if self._live:
                    self._live.refresh()
                elif not (self._lively or self._asked.quiet) and time.monotonic() - self._said_at >= SILENCE:
                    for line in self._at_work():
                        self._say(line)
            except Exception:
                logging.getLogger(__name__).debug("the bar could not be drawn", exc_info=True)
            finally:
                self.release()

    def _at_work(self) -> list[str]:
        """The steps that are being done, and what each wrote last into its log."""
        running = [(one.message, last_line(one.log)) for one in self._steps.values() if one.message]
        return [f"  at work: {message}{': ' * bool(said)}{said}" for message, said in running[:RUNNING]]

    def _drawn(self) -> RenderableType:
        """The bar and what is at work."""
        left = self._remaining.left() if self._remaining else None
        told = f" {self._done} of {self._total} steps"
        if left is not None:
            told += f", about {duration(left) if left >= 60 else f'{left:.0f} s'} left"
        share = self._remaining.share if self._remaining else self._done / max(1, self._total)
        bar = Table.grid(expand=True)
        bar.add_column(ratio=1)
        bar.add_column(no_wrap=True, overflow="ellipsis")
        bar.add_row(ProgressBar(total=1.0, completed=share), told)
        return Group(bar, *(Text(one, style="dim", no_wrap=True, overflow="ellipsis") for one in self._at_work()))

    def close(self) -> None:
        """Leave the terminal as it was."""
        self.acquire()
        try:
            self._rest()
            if self._printed:
                self._printed.close()
                self._printed = None
        finally:
            self.release()
        self._plain.close()
        super().close()


def _console(stream: IO[str], asked: Asked) -> Console:
    """Rich's view of where Snakemake writes; a file of its own, which stays when standard error goes elsewhere."""
    terminal = stream.isatty()
    with suppress(OSError, ValueError):
        if not asked.dry:
            stream = os.fdopen(os.dup(stream.fileno()), "w", encoding=stream.encoding, errors="replace")
    colours = "auto" if terminal else None
    no_colour = asked.no_colour or None  # None: the environment says
    return Console(file=stream, force_terminal=terminal, color_system=colours, no_color=no_colour, emoji=False)
