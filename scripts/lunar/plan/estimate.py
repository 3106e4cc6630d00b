"""How long a run takes on this machine: work that was recorded of each rule, at the rate measured here. No torch.

CPU seconds of a job = start + work x (parameters / recorded) x (bytes of data / recorded) x (recorded rate / its own).
A job's start is what it takes with a model of no size: its process and its imports. Where a job makes all attacks of a
method, both are of one attack, and count once an attack.
"""

import json
import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lunar.plan.machine import OK, Line, duration
from lunar.plan.snakemake_files import Job

RECORDED = Path(__file__).with_name("recorded_work.toml")  # written by docs/make/recorded_work.py
KINDS = ("bfloat16", "float32")
PER_ATTACK = ("control_attacks", "attack_method", "evaluate_attacks")  # rules whose jobs go through all attacks


class Rate(NamedTuple):
    """What was measured of this machine.

    Attributes:
        kind: precision in which models multiply matrices here, one of ``KINDS``.
        rate: operations a CPU second of one core.
    """

    kind: str
    rate: float


class Size(NamedTuple):
    """How large an experiment is.

    Attributes:
        parameters: of its model.
        data: bytes of the files of its rows.
        attacks: how many are run.
    """

    parameters: int
    data: int
    attacks: int


def measure() -> Rate | None:
    """This machine's rate, measured in a process that loads torch; None where that cannot be done."""
    scripts = str(Path(__file__).parents[2])
    try:
        said = subprocess.run(
            [sys.executable, "-m", "lunar.bench.rate"],
            env=os.environ | {"PYTHONPATH": scripts, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        return Rate(**json.loads(said.stdout))
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


def data_bytes(files: Iterable[str]) -> int | None:
    """Bytes of an experiment's files of rows; None where one is still to be fetched."""
    paths = [Path(file) for file in files]
    return sum(path.stat().st_size for path in paths) if all(path.is_file() for path in paths) else None


def begins(jobs: Iterable[Job], recorded: Path = RECORDED) -> float:
    """CPU seconds that jobs take by themselves at least, before they work."""
    start = tomllib.loads(recorded.read_text(encoding="utf-8"))["start"]
    return sum(start.get(rule, 0.0) for rule, _ in jobs)


class Work:
    """The recorded work as this machine does it."""

    def __init__(self, rate: Rate, recorded: Path = RECORDED) -> None:
        held = tomllib.loads(recorded.read_text(encoding="utf-8"))
        self._start, self._size = held["start"], Size(**held["size"])
        self._work: dict[str, float] = {}
        # A rule that was not recorded on this kind of machine counts as on the other kind, by the rates alone.
        for kind in sorted(held.keys() & {*KINDS}, key=lambda kind: kind != rate.kind):
            there = {key.partition(":")[0] for key in self._work}
            slower = held[kind]["rate"] / rate.rate
            found = {key: each * slower for key, each in held[kind]["work"].items()}
            self._work |= {key: each for key, each in found.items() if key.partition(":")[0] not in there}

    def seconds(self, rule: str, wildcards: Mapping[str, str], sizes: Mapping[str, Size]) -> float:
        """CPU seconds of a job: those of its rule and method, or else the rule's mean.

        Args:
            rule, wildcards: the job's.
            sizes: by experiment; a job of none counts as one of the recorded size.
        """
        work = self._work.get(f"{rule}:{wildcards.get('method', '')}", self._work.get(rule, 0.0))
        size = sizes.get(wildcards.get("experiment", ""), self._size)
        larger = size.parameters / self._size.parameters * size.data / self._size.data
        times = size.attacks if rule in PER_ATTACK else 1
        return times * (self._start.get(rule, 0.0) + work * larger)


def at_once(cores: int, limit: float | None, each: float) -> int:
    """Jobs that run side by side: one a core, as far as memory allows.

    Args:
        cores: given to the run.
        limit: MB that jobs share; None for no limit.
        each: MB that a job asks for.
    """
    return max(1, cores if limit is None else min(cores, int(limit // each)))


def told(seconds: float, beside: int, rate: Rate, jobs: int) -> str:
    """The estimate as readers see it."""
    each = f"{rate.rate / 1e9:.0f} GFLOP/s a core in {rate.kind}"
    return (
        f"about {duration(seconds / beside)} for {jobs} steps, {beside} side by side ({seconds / 60:.0f} CPU minutes; "
        f"measured: {each})"
    )


def line(jobs: Sequence[Job] | None, sizes: Mapping[str, Size | None], beside: int, gpu: bool) -> Line:
    """How long the jobs that are left will take, in the listing of target ``check``.

    Args:
        jobs: those that are left; None where Snakemake could not plan them.
        sizes: of the experiments that they belong to; None where data is still to be fetched.
        beside: jobs that run side by side.
        gpu: there is one.
    """
    if jobs is None:
        return Line(OK, "time", "not known: the run could not be planned; `snakemake -n` says why")
    if not jobs:
        return Line(OK, "time", "nothing is left to do")
    known = {name: size for name, size in sizes.items() if size is not None}
    if gpu or len(known) < len(sizes):
        why = "no run on a GPU is recorded" if gpu else "data is still to be fetched"
        return Line(OK, "time", f"not known for {len(jobs)} steps: {why}")
    rate = measure()
    if rate is None:
        return Line(OK, "time", f"not known for {len(jobs)} steps: torch could not be asked for this machine's rate")
    work = Work(rate)
    return Line(OK, "time", told(sum(work.seconds(*job, known) for job in jobs), beside, rate, len(jobs)))


class Remaining:
    """What is left of a run, told from its finished jobs."""

    EVERY = 0.05  # of the work: how often a line is due
    ENOUGH = 0.99  # of the work: the rest is not worth a line

    def __init__(
        self,
        work: Mapping[Any, float],
        expected: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start the clock.

        Args:
            work: expected CPU seconds by job; where none is known, any equal number for each.
            expected: seconds that the run will take, told until its own pace is known.
            clock: gives seconds.
        """
        self._work, self._clock = dict(work), clock
        self._all, self._done, self._said = sum(work.values()), 0.0, 0.0
        self._began = self._told_at = clock()
        self._left = expected

    def finished(self, job: Any) -> str | None:
        """Count a job; a line for the screen where one is due. A job that ends twice counts once."""
        self._done += self._work.pop(job, 0.0)
        now = self._clock()
        took = now - self._began
        if self.share >= self.EVERY:
            self._left, self._told_at = took / self.share * (1 - self.share), now
        if self._left is None or self.share - self._said < self.EVERY or self.share > self.ENOUGH:
            return None
        self._said = self.share
        return f"{self.share:.0%} of the work done in {duration(took)}, about {duration(self._left)} left"

    @property
    def share(self) -> float:
        """Share of the work that is done."""
        return self._done / self._all if self._all else 0.0

    def left(self) -> float | None:
        """Seconds until the end at the pace so far; None while it is not known."""
        return None if self._left is None else max(0.0, self._left - (self._clock() - self._told_at))
