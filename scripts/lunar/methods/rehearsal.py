"""Choosing settings on retained authors, so that the reported forget set takes no part.

In a rehearsal one retained author plays the forgotten one. Another is held out: the method is never shown this author,
as it is never shown the unseen ones. The method then unlearns with each setting of its grid, and the answers are
scored.
"""

import heapq
import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from lunar.plan.declare import Given


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


def recalls(rows: Mapping[str, Sequence[Row]]) -> dict[str, float]:
    """What is left of the authors: ``forget`` (in both wordings) and ``held_out``, ROUGE-1 recall.

    Args:
        rows: with a ``prediction``; of ``forget``, ``forget_validation`` and ``held_out``.
    """
    return {
        "forget": mean(rouge1, [*rows["forget"], *rows["forget_validation"]]),
        "held_out": mean(rouge1, rows["held_out"]),
    }


WORST = score(1.0, 0.0, 1.0)
OWN = ("forget", "short", "renamed", "declined", "retain")  # sets that a pair has statistics of its own of


def stopped(row: Mapping[str, float]) -> bool:
    """Whether a try's general questions were spared, so that its score is the least that it can be."""
    return "forget" in row and "refused" not in row


def told(row: Mapping[str, float] | None) -> str:
    """What the log says of a try, and what was left out and why."""
    if row is None:
        return "not tried, since its scores on earlier pairs alone make it worse than those that go on"
    values = ", ".join(f"{key} {value:.3f}" for key, value in row.items())
    return values + (" or more; general questions were spared, since others are better already" if stopped(row) else "")


class Collected(Given):
    """Statistics that all pairs share, and those of the pair's own sets as soon as a method asks for them."""

    def __init__(self, shared: Mapping[str, Statistics], collect: Callable[[str], Statistics]) -> None:
        super().__init__(shared, "'statistics', 'direction',")
        self._collect = collect

    def __missing__(self, name: str) -> Statistics:
        """Statistics of one of the pair's own sets; any other is refused."""
        return self._collect(name) if name in OWN else super().__missing__(name)


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
        say: writes a line to the log.
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
    say: Callable[[str], None]

    def __post_init__(self) -> None:
        self._shared = self.job.rows, self.job.statistics, self.job.directions
        questions = [row["question"] for row in self.asked["general_validation"]]
        self._refused = share_refused(generate(self.job.model, self.chat, questions, **self.generation))
        self._parts: dict[str, Sequence[Row]] = {}
        self._collected: dict[str, Statistics] = {}

    def play(self, pair: Mapping[str, str]) -> None:
        """Have a pair's rows and statistics in the job.

        Args:
            pair: files of the authors to forget and to hold out.
        """
        more = {"copies": self.copies, "seed": self.job.seed, "refusals": self.asked["refusals"]}
        self._parts = {**cast(**pair, retain=self.retain, names=self.names, **more), **self.asked}
        rows, statistics, directions = self._shared
        self.job.rows, self.job.memo = {**self._parts, **rows}, {}
        self._collected = {}
        self.job.statistics = Collected(statistics, self._statistics)
        self.job.directions = Collected(directions, self._statistics)

    def _statistics(self, name: str) -> Statistics:
        """Statistics of one of the pair's sets; of renamed copies only of those about somebody else to the model."""
        if name not in self._collected:
            job, parts = self.job, self._parts
            rows = parts[name]
            if name == "renamed":
                originals = [*parts["forget"], *parts["short"]]
                rows, _ = told_apart(job.model, job.chat, rows, originals, self.leaked, self.generation)
            self._collected[name] = collect_rows(job.model, job.chat, rows, **self.collecting)
        return self._collected[name]

    def _answered(self, names: Sequence[str]) -> dict[str, list[Row]]:
        """Rows of parts with the model's ``prediction``, by part; all are asked in the same batches."""
        rows = [(name, row) for name in names for row in self._parts[name]]
        answers = generate(self.job.model, self.chat, [row["question"] for _, row in rows], **self.generation)
        found: dict[str, list[Row]] = {name: [] for name in names}
        for (name, row), answer in zip(rows, answers, strict=True):
            found[name].append(row | answer.row())
        return found

    def tried(self, setting: Mapping[str, Any]) -> Iterator[dict[str, float]]:
        """What the method with a setting does to the pair that plays, told as soon as it is known.

        Yields:
            After the authors' questions ``forget`` and ``held_out`` (``recalls``), and as ``score`` that of a model
            that refuses no general question: the least that it can be. Then these with ``refused``, the share of
            general questions refused, and the score itself. Of a training that diverged the worst ``score`` alone.
        """
        try:
            outcome = METHODS[self.entry["recipe"]]({**self.entry, **setting}).unlearn(self.job)
        except Diverged as error:
            self.say(f"{json.dumps(setting)}: {error}")
            yield {"score": WORST}
            return
        with edits.applied(self.job.model, outcome.edit):
            row = recalls(self._answered(["forget", "forget_validation", "held_out"]))
        yield row | {"score": score(**row, refused=0.0)}
        with edits.applied(self.job.model, outcome.edit):
            answers = self._answered(["general_validation"])["general_validation"]
        refused = share_refused([row["prediction"] for row in answers])
        newly = max(0.0, refused - self._refused)
        yield row | {"refused": refused, "score": score(**row, refused=newly)}

    def race(
        self,
        grid: Sequence[Mapping[str, Any]],
        before: Mapping[int, Sequence[float]],
        places: int,
        progress: Callable[[int], None],
    ) -> tuple[list[int], dict[int, dict[str, float]]]:
        """Try settings on the pair that plays for as long as it takes to know the best.

        The setting that may still be the best goes on first: its total is so far the lowest, and no question that is
        left can lower it. So one that has been asked everything when its turn comes is better than all that wait.

        Args:
            grid: the settings.
            before: of each setting that takes part the scores on earlier pairs, by number.
            places: how many settings are to be known.
            progress: called with the number of settings that were asked about the authors.

        Returns:
            The best ones' numbers, by their totals (of equal ones the first); what is known of each that was tried,
            without ``refused`` where the general questions were spared.
        """
        waiting = [(math.fsum(scores), number, self.tried(grid[number])) for number, scores in before.items()]
        heapq.heapify(waiting)
        best: list[int] = []
        rows: dict[int, dict[str, float]] = {}
        while len(best) < places:
            _, number, steps = heapq.heappop(waiting)
            row = next(steps, None)
            if row is None:
                best.append(number)
            else:
                rows[number] = row
                progress(len(rows))
                heapq.heappush(waiting, (math.fsum([*before[number], row["score"]]), number, steps))
        return best, rows

    def run(
        self, grid: Sequence[Mapping[str, Any]], pairs: Sequence[Mapping[str, str]], progress: Callable[[int], None]
    ) -> tuple[pd.DataFrame, int, float]:
        """Try every setting on the first pair, and always the better half of them on the next.

        Questions are left out only if their answers cannot change the choice. So the same settings go on as if each had
        been asked everything. With one setting left there is no choice, and no further pair is played.

        Args:
            grid: the settings.
            pairs: files of the authors who play the parts, in their order.
            progress: called with the number of tries done or spared.

        Returns:
            A row for each try; ``stopped`` if its general questions were left out, so that its score is a lower bound.
            The number of the best setting. Its mean score over the pairs played.
        """
        rounds = successive_halving(len(grid), len(pairs))
        scores: dict[int, list[float]] = {number: [] for number in range(len(grid))}
        results: list[dict[str, Any]] = []
        for turn, (pair, places) in enumerate(zip(pairs, [*rounds[1:], 1], strict=True), start=1):
            self.play(pair)
            self.job.grid = {key: [grid[number][key] for number in scores] for key in grid[0]}
            past = sum(rounds[: turn - 1])
            best, rows = self.race(grid, scores, places, lambda tried, past=past: progress(past + tried))
            for number in scores:
                known = rows.get(number)
                self.say(f"{json.dumps(grid[number])} without {pair['forget']}: {told(known)}")
                if known is not None:
                    where = {"setting": number, "pair": turn}
                    results.append(where | grid[number] | known | {"stopped": stopped(known)})
            scores = {number: [*scores[number], rows[number]["score"]] for number in sorted(best)}
            progress(sum(rounds[:turn]) if len(scores) > 1 else sum(rounds))
            if len(scores) == 1:
                break
        chosen, known = next(iter(scores.items()))
        return pd.DataFrame(results), chosen, math.fsum(known) / len(known)
