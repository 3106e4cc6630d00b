"""Bootstrap samples of a metric file's numbers: their interval, their own file, and differences from another method.

Every (method, attack) is evaluated from its own answers alone. All resample the same rows alike, so a difference from
another is one of pairs, and is taken where it is shown.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lunar.errors import LunarError
from lunar.files import atomic_write, read_json

Samples = Mapping[str, np.ndarray]


class Evaluated(NamedTuple):
    """What is known of one (method, attack).

    Attributes:
        metrics: content of its metric file (``lunar.metrics.study.evaluate``).
        samples: of each number with an interval, by ``<metric>`` or ``<split>/<metric>``; float64, (resamples,).
    """

    metrics: dict[str, Any]
    samples: dict[str, np.ndarray]


def interval(samples: np.ndarray) -> dict[str, float]:
    """The central 95% of bootstrap samples (percentile method)."""
    low, high = np.percentile(samples, [2.5, 97.5])
    return {"low": float(low), "high": float(high)}


def write_samples(path: str | Path, samples: Samples) -> None:
    """Write samples as an npz file; the same samples give the same bytes, for numpy dates all entries 1980."""
    with atomic_write(path) as temporary:
        np.savez(temporary, **samples)


def read_evaluated(metrics: str | Path, samples: str | Path) -> Evaluated:
    """A metric file and the samples behind it."""
    with np.load(samples, allow_pickle=False) as archive:
        return Evaluated(read_json(metrics), dict(archive))


def read_evaluated_attacks(metrics: str | Path, samples: str | Path) -> dict[str, Evaluated]:
    """The same of a method under every attack, by attack."""
    with np.load(samples, allow_pickle=False) as archive:
        found = {attack: Evaluated(own, {}) for attack, own in read_json(metrics).items()}
        for key, drawn in archive.items():
            attack, _, name = key.partition("/")
            found[attack].samples[name] = drawn
    return found


def _cell(metrics: Mapping[str, Any], key: str) -> dict[str, Any]:
    split, _, name = key.rpartition("/")
    return metrics["splits"][split][name] if split else metrics[name]


def compare(name: str, own: Evaluated, others: Mapping[str, Evaluated]) -> None:
    """Give each number of a metric file its differences from others, as ``versus`` in its cell.

    Args:
        name: what it is called in messages.
        own: its metrics are changed: ``versus`` holds ``difference``, ``low`` and ``high`` by the other's name.
        others: what to compare with.

    Raises:
        LunarError: another was asked other questions, or is judged by other words of the gold answers.
    """
    for other, (metrics, samples) in others.items():
        for split, asked in own.metrics["asked"].items():
            if asked != metrics["asked"].get(split):
                raise LunarError(
                    f"{name} and {other} were not asked the same on the split {split}; an attack has to ask every "
                    "method the same; delete the answers of both to have them made again"
                )
        for key, drawn in own.samples.items():
            cell = _cell(own.metrics, key)
            difference = {"difference": cell["mean"] - _cell(metrics, key)["mean"], **interval(drawn - samples[key])}
            cell.setdefault("versus", {})[other] = difference
