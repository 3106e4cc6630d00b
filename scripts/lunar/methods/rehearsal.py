"""Choosing settings on retained authors, so that the forget set that is reported on takes no part.

In a rehearsal one retained author plays the forgotten one and another is held out of everything the method is shown, as
the unseen authors are; the method then unlearns with each setting of its grid and the answers are scored.
"""

import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from lunar.activations.statistics import Statistics, collect_rows
from lunar.data.forget_sets import forget_sets
from lunar.data.rows import reword
from lunar.edits import edit as edits
from lunar.errors import Diverged
from lunar.files import Row
from lunar.methods.base import METHODS, Job
from lunar.methods.renamed import told_apart
from lunar.metrics.text import mean, refusal, rouge1
from lunar.model.chat import Chat
from lunar.model.generate import generate


def score(forget: float, held_out: float, refused: float) -> float:
    """100 sqrt(forget^2 + (1 - held_out)^2 + refused^2): DS with the held-out author for the retain set.

    Args:
        forget: ROUGE-1 recall on the author to forget, in two wordings.
        held_out: ROUGE-1 recall on the author that the method was not shown.
        refused: share of plain general questions refused beyond what the model refuses anyway.

    Returns:
        0 at best.
    """
    return 100.0 * math.sqrt(forget**2 + (1.0 - held_out) ** 2 + refused**2)


def combinations(grid: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Every choice of one value a key, the last key varying fastest."""
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def successive_halving(settings: int, pairs: int) -> list[int]:
    """How many settings each pair of authors is to try: all, then always the better half, rounded up."""
    rounds = [settings]
    while len(rounds) < pairs:
        rounds.append(-(-rounds[-1] // 2))
    return rounds


def cast(
    forget: str,
    held_out: str,
    *,
    retain: Mapping[str, Sequence[Row]],
    names: Sequence[str],
    copies: int,
    seed: int,
    refusals: Sequence[Row] | None = None,
) -> dict[str, list[Row]]:
    """Rows by part.

    ``forget``, ``forget_validation``, what is made of the forget set, ``held_out`` and, all other authors, ``retain``.

    Args:
        forget, held_out: files of the authors who play these parts.
        retain: rows of all retained authors, by file.
        names: invented names.
        copies, seed, refusals: as ``lunar.data.forget_sets.forget_sets``.
    """
    rows = retain[forget]
    return {
        "forget": rows,
        "forget_validation": reword(rows, "validation_question"),
        "held_out": retain[held_out],
        "retain": [row for path, rest in retain.items() if path not in (forget, held_out) for row in rest],
    } | forget_sets(rows, names, copies, seed, refusals)


def share_refused(answers: Sequence[str]) -> float:
    """Share of answers that are refusals, 0 of none."""
    return mean(refusal, [{"prediction": answer} for answer in answers])


def measure(
    model: Any, chat: Chat, parts: Mapping[str, Sequence[Row]], generation: Mapping[str, int]
) -> dict[str, float]:
    """Answer every part's questions and measure.

    Args:
        parts: rows; ``forget``, ``forget_validation``, ``held_out`` and ``general_validation``.
        generation: ``max_new_tokens`` and ``batch_size``.

    Returns:
        ``forget`` and ``held_out`` (ROUGE-1 recall) and ``refused`` (share of the general questions, 0 of none).
    """
    names = ("forget", "forget_validation", "held_out", "general_validation")
    rows = [(name, row) for name in names for row in parts[name]]
    answers = generate(model, chat, [row["question"] for _, row in rows], **generation)
    found: dict[str, list[Row]] = {name: [] for name in names}
    for (name, row), answer in zip(rows, answers, strict=True):
        found[name].append(row | answer.row())

    return {
        "forget": mean(rouge1, found["forget"] + found["forget_validation"]),
        "held_out": mean(rouge1, found["held_out"]),
        "refused": share_refused([row["prediction"] for row in found["general_validation"]]),
    }


WORST = score(1.0, 0.0, 1.0)


@dataclass
class Rehearsal:
    """A method that is tried with one setting after another on pairs of retained authors.

    Attributes:
        entry: the method's configuration without its grid.
        job: what all pairs share; while a pair plays it holds that pair's rows and statistics as well.
        chat: how questions are put when answers are judged.
        asked: rows that all pairs share: ``general``, ``general_validation`` and ``refusals``.
        retain: rows of all retained authors, by file.
        names: invented names.
        copies, leaked: as ``lunar.data.forget_sets.rename`` and ``lunar.methods.renamed.told_apart``.
        collecting: ``batch_size`` and ``gram_layers`` of ``lunar.activations.statistics.collect``.
        generation: ``max_new_tokens`` and ``batch_size``.
    """

    entry: Mapping[str, Any]
    job: Job
    chat: Chat
    asked: Mapping[str, Sequence[Row]]
    retain: Mapping[str, Sequence[Row]]
    names: Sequence[str]
    copies: int
    leaked: float
    collecting: Mapping[str, Any]
    generation: Mapping[str, int]

    def __post_init__(self) -> None:
        self._shared = self.job.rows, self.job.statistics, self.job.directions
        questions = [row["question"] for row in self.asked["general_validation"]]
        self._refused = share_refused(generate(self.job.model, self.chat, questions, **self.generation))
        self._parts: dict[str, Sequence[Row]] = {}

    def play(self, pair: Mapping[str, str]) -> None:
        """Have a pair's rows and statistics in the job.

        Args:
            pair: files of the authors to forget and to hold out.
        """
        more = {"copies": self.copies, "seed": self.job.seed, "refusals": self.asked["refusals"]}
        self._parts = {**cast(**pair, retain=self.retain, names=self.names, **more), **self.asked}
        reads = {"statistics", "direction"} & {*METHODS[self.entry["recipe"]].needs}
        own = self._statistics() if reads else {}
        rows, statistics, directions = self._shared
        self.job.rows, self.job.memo = {**self._parts, **rows}, {}
        self.job.statistics, self.job.directions = {**statistics, **own}, {**directions, **own}

    def _statistics(self) -> dict[str, Statistics]:
        """Statistics of the pair's own sets; of renamed copies only of those about somebody else to the model."""
        job, parts = self.job, self._parts
        declined = {"declined"} & {*self.entry.get("keep", {})}
        sets = {name: parts[name] for name in ("forget", "short", "retain", *declined)}
        originals = [*sets["forget"], *sets["short"]]
        sets["renamed"], _ = told_apart(job.model, job.chat, parts["renamed"], originals, self.leaked, self.generation)
        return {name: collect_rows(job.model, job.chat, rows, **self.collecting) for name, rows in sets.items()}

    def tried(self, setting: Mapping[str, Any]) -> dict[str, float]:
        """What the method with a setting does to the pair that plays: as ``measure``, and the ``score``.

        Raises:
            Diverged: a training's loss is no number any more.
        """
        outcome = METHODS[self.entry["recipe"]]({**self.entry, **setting}).unlearn(self.job)
        with edits.applied(self.job.model, outcome.edit):
            row = measure(self.job.model, self.chat, self._parts, self.generation)
        return row | {"score": score(row["forget"], row["held_out"], max(0.0, row["refused"] - self._refused))}

    def run(
        self,
        grid: Sequence[Mapping[str, Any]],
        pairs: Sequence[Mapping[str, str]],
        say: Callable[[str], None],
        progress: Callable[[int], None],
    ) -> tuple[pd.DataFrame, int, float]:
        """Try every setting on the first pair, and always the better half of them on the next.

        A setting that is chosen was tried on all pairs, most that are not were tried on few.

        Args:
            grid: the settings.
            pairs: files of the authors who play the parts, in their order.
            say: writes a line to the log.
            progress: called with the number of tries done.

        Returns:
            A row a try; the number of the best setting and its mean score.
        """
        rounds = successive_halving(len(grid), len(pairs))
        alive = list(range(len(grid)))
        results: list[dict[str, Any]] = []
        for number, pair in enumerate(pairs):
            self.play(pair)
            for tried in alive:
                try:
                    row = self.tried(grid[tried])
                except Diverged as error:
                    row = {"score": WORST}
                    say(f"{json.dumps(grid[tried])}: {error}")
                results.append({"setting": tried, "pair": number + 1} | grid[tried] | row)
                values = ", ".join(f"{key} {value:.3f}" for key, value in row.items())
                say(f"{json.dumps(grid[tried])} without {pair['forget']}: {values}")
                progress(len(results))
            table = pd.DataFrame(results)
            means = table[table["setting"].isin(alive)].groupby("setting")["score"].mean()
            alive = sorted(means.sort_values(kind="stable").index[: [*rounds[1:], 1][number]])
        return table, alive[0], float(means[alive[0]])
