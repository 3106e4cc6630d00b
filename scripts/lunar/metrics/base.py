"""What a metric is, and how a file of metrics declares one.

A metric of answers is one function from an answer's row to a float, under ``@metric``; its mean and interval follow.
A metric of a whole method is one function from its ``Study`` (``lunar.metrics.study``) to an ``Estimate``, under
``@overall``. To add one, write it into a file of this package and name it under ``metrics`` in the configuration:
metric files, every table and the report follow.

A row has ``id``, ``question``, ``answer`` and ``prediction``, and where they were computed ``likelihood`` (a row of
``lunar.model.likelihood``) and ``similarity`` (highest cosine of the prediction to a refusal).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Row = Mapping[str, Any]

# What a metric may need of a row besides its text, and what a table says where it is not there.
NEEDS: dict[str, tuple[str, Callable[[Row], bool]]] = {
    "answer": ("the split has no gold answers", lambda row: bool(row.get("answer"))),
    "likelihood": ("no likelihoods were computed", lambda row: bool(row.get("likelihood"))),
    "wrong": ("not every row has wrong answers", lambda row: bool(row["likelihood"]["wrong"])),
    "perturbed": (
        "not every row has perturbed answers, which are scored on the forget set only",
        lambda row: bool(row["likelihood"]["perturbed"]),
    ),
    "paraphrased": ("not every row has a paraphrased answer", lambda row: bool(row["likelihood"]["paraphrased"])),
    "embeddings": ("no embeddings were computed", lambda row: "similarity" in row),
}


class Unavailable(Exception):
    """A metric cannot be computed; the message is the reason that the table gives."""


@dataclass(frozen=True)
class Estimate:
    """A number with what is known of its spread.

    Attributes:
        value: the number.
        samples: the same on each bootstrap sample, shape (resamples,); None where it has no interval.
        n: items behind it, where it is a mean.
        facts: what else belongs to it.
    """

    value: float
    samples: np.ndarray | None = None
    n: int | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Metric:
    """One metric of single answers.

    Attributes:
        name: its name in files and columns, that of its function.
        title: its name for readers.
        better: ``higher``, ``lower``, ``neither``, or a sense that depends on the split. ``knowledge`` is low on the
            forget set and high elsewhere. ``refusal`` is high on questions to forget or to decline, and low elsewhere.
        needs: keys of ``NEEDS``; nothing means the prediction's text alone.
        source: where it is defined; ``{name}`` in it stands for a setting's value.
        function: from a row to a number.
        settings: what it may be told (``lunar.metrics.settings``), its function's last argument; None: nothing.
    """

    name: str
    title: str
    better: str
    needs: tuple[str, ...]
    source: str
    function: Callable[..., float]
    settings: Any = None


@dataclass(frozen=True)
class Overall:
    """One metric of a method.

    Attributes:
        name, title, source, settings: as in ``Metric``.
        better: ``higher``, ``lower`` or ``half`` (nearest to 0.5).
        needs: keys of ``NEEDS``, what it reads of rows.
        interval: whether it has a bootstrap interval.
        facts: further numbers, each a further column.
        digits: decimals for readers.
        function: from the method's ``Study`` to an estimate.
    """

    name: str
    title: str
    better: str
    needs: tuple[str, ...]
    source: str
    function: Callable[..., Estimate]
    interval: bool = True
    facts: tuple[str, ...] = ()
    digits: int = 3
    settings: Any = None


# Those whose files were imported.
METRICS: dict[str, Metric] = {}
OVERALL: dict[str, Overall] = {}


def metric(
    title: str, *, better: str, needs: tuple[str, ...] = (), source: str, settings: Any = None
) -> Callable[[Any], Any]:
    """Register a function as the metric of answers of the function's name; all arguments as in ``Metric``."""

    def register(function: Any) -> Any:
        name = function.__name__
        METRICS[name] = Metric(name, title, better, needs, source, function, settings)
        return function

    return register


def overall(title: str, *, better: str, needs: tuple[str, ...], source: str, **kind: Any) -> Callable[[Any], Any]:
    """Register a function as the metric of a method of the function's name; all arguments as in ``Overall``."""

    def register(function: Any) -> Any:
        name = function.__name__
        OVERALL[name] = Overall(name, title, better, needs, source, function, **kind)
        return function

    return register
