"""All metrics of one (method, attack), from its answers: estimates by bootstrap, and what its metric file holds."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from lunar.metrics.base import METRICS, NEEDS, OVERALL, Estimate, Metric, Overall, Row, Unavailable
from lunar.metrics.samples import Evaluated, interval

FLAGS = ("cut", "thought")  # of answers' rows, where they hold
# Settings of metrics by name, in the order of the tables.
Chosen = Mapping[str, Mapping[str, Any]]


SLICE = 250_000  # values drawn at once


@cache
def _resampling(n: int, resamples: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(n, size=(resamples, n))


def resampled_means(values: Sequence[float], resamples: int, seed: int) -> np.ndarray:
    """Means of ``resamples`` bootstrap samples of ``values`` (with replacement); float64, shape (resamples,)."""
    array = np.asarray(values, dtype=np.float64)
    drawn = _resampling(len(array), resamples, seed)
    # Slices that fit into the processor's cache: of 4,000 values they take a twentieth of the time.
    slices = np.array_split(drawn, max(1, drawn.size // SLICE))
    return np.concatenate([array[some].mean(axis=1) for some in slices])


def _told(one: Metric | Overall, chosen: Chosen) -> tuple[Any, ...]:
    """The last argument of a metric's function, its settings; nothing where it has none."""
    return () if one.settings is None else (one.settings.model_validate(chosen.get(one.name, {})),)


class Study:
    """The answers of one (method, attack), with every metric of answers estimated.

    Items are resampled with one seed for each split. Methods are then resampled alike, so their difference on each
    sample is a paired one. Splits are resampled independently of each other.

    Args:
        splits: rows with ``prediction`` by split name.
        resamples: bootstrap resamples behind each interval.
        seed: seed of the resampling.
        chosen: settings of metrics of answers; those that are not there have their defaults.
        never_saw: rows of ``lunar.model.likelihood`` of the forget set, by the model that never saw it.
    """

    def __init__(
        self,
        splits: Mapping[str, Sequence[Row]],
        resamples: int,
        seed: int,
        chosen: Chosen | None = None,
        never_saw: Sequence[Row] | None = None,
    ) -> None:
        self.never_saw = never_saw
        self._splits = splits
        self._resamples = resamples
        self._chosen = chosen or {}
        self._seeds = {split: seed + number for number, split in enumerate(splits)}
        self._means: dict[tuple[str, str], Estimate] = {}

    def rows(self, split: str, needs: Sequence[str] = ()) -> Sequence[Row]:
        """All rows of a split, each with what is needed.

        Raises:
            Unavailable: one row without it is enough, since a mean over the others would be of another set.
        """
        if split not in self._splits:
            raise Unavailable(f"the split {split} is not evaluated")
        if not self._splits[split]:
            raise Unavailable("the split holds no rows")
        for need in needs:
            reason, has = NEEDS[need]
            if not all(has(row) for row in self._splits[split]):
                raise Unavailable(reason)
        return self._splits[split]

    def mean(self, split: str, metric: Callable[..., float]) -> Estimate:
        """The mean of a metric over a split; ``metric`` is its function.

        Raises:
            Unavailable: as ``rows``.
        """
        one = METRICS[metric.__name__]
        if (split, one.name) not in self._means:
            told = _told(one, self._chosen)
            scores = [one.function(row, *told) for row in self.rows(split, one.needs)]
            samples = resampled_means(scores, self._resamples, self._seeds[split])
            self._means[split, one.name] = Estimate(float(np.mean(scores)), samples, len(scores))
        return self._means[split, one.name]

    def counts(self, split: str) -> np.ndarray:
        """How often each row of a split is in each bootstrap sample; shape (resamples, rows)."""
        n = len(self._splits[split])
        drawn = _resampling(n, self._resamples, self._seeds[split])
        return np.stack([np.bincount(sample, minlength=n) for sample in drawn])


def _asked(rows: Sequence[Row]) -> str:
    """A checksum of what was asked and what answers are judged by."""
    said = json.dumps([[row.get("id"), row.get("answer"), *row.get("other_answers", [])] for row in rows])
    return hashlib.sha256(said.encode()).hexdigest()


def describe(answers: Chosen, methods: Chosen) -> dict[str, Any]:
    """What tables say of metrics, so that who shows numbers need not import the files that compute them.

    Returns:
        ``answers`` and ``methods``: by name, in the order of the tables, the attributes of ``Metric`` or ``Overall``
        that readers see.
    """

    def said(one: Metric | Overall, chosen: Chosen) -> dict[str, Any]:
        values = {name: value for told in _told(one, chosen) for name, value in told.model_dump().items()}
        found = {
            "title": one.title,
            "better": one.better,
            "source": one.source.format(**values) if values else one.source,
        }
        if isinstance(one, Overall):
            found |= {"interval": one.interval, "facts": list(one.facts), "digits": one.digits}
        return found

    return {
        "answers": {name: said(METRICS[name], answers) for name in answers},
        "methods": {name: said(OVERALL[name], methods) for name in methods},
    }


def evaluate(
    splits: Mapping[str, Sequence[Row]],
    resamples: int,
    seed: int,
    answers: Chosen,
    methods: Chosen,
    never_saw: Sequence[Row] | None = None,
) -> Evaluated:
    """All metrics of one (method, attack).

    Args:
        splits, resamples, seed, never_saw: as for ``Study``.
        answers: settings of the metrics of answers to compute, by name, in the order of the tables.
        methods: the same of the metrics of a whole method.

    Returns:
        Metrics ``{"described", "asked", "splits": {split: {metric: cell}}, <metric of a method>: cell, ...}``, a cell
        being ``{"mean", "low", "high", "n"}``; a metric that cannot be computed has a ``reason`` instead of numbers.
        ``described`` is as of ``describe``; ``asked`` holds a checksum a split, for ``compare``. ``cut`` and
        ``thought`` count such answers (``lunar.model.chat.Said``) by split, and are there where there are any.
    """
    study = Study(splits, resamples, seed, answers, never_saw)
    samples: dict[str, np.ndarray] = {}

    def cell(key: str, find: Callable[[], Estimate]) -> dict[str, Any]:
        try:
            found = find()
        except Unavailable as missing:
            return {"reason": str(missing)}
        numbers: dict[str, Any] = {"mean": found.value}
        if found.samples is not None:
            samples[key] = found.samples
            numbers |= interval(found.samples)
        if found.n is not None:
            numbers["n"] = found.n
        return numbers | found.facts

    result: dict[str, Any] = {
        "described": describe(answers, methods),
        "asked": {split: _asked(rows) for split, rows in splits.items()},
        "splits": {
            split: {
                name: cell(f"{split}/{name}", lambda split=split, name=name: study.mean(split, METRICS[name].function))
                for name in answers
            }
            for split in splits
        },
    }
    for flag in FLAGS:
        counts = {split: sum(bool(row.get(flag)) for row in rows) for split, rows in splits.items()}
        result |= {flag: counts} if any(counts.values()) else {}
    for name in methods:
        one = OVERALL[name]
        result[name] = cell(name, lambda one=one: one.function(study, *_told(one, methods)))
    return Evaluated(result, samples)
