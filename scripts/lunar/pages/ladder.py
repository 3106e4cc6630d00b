"""The ladder: from one method to another, one factor at a time, and how much of the difference each factor makes."""

from collections.abc import Mapping, Sequence
from typing import Any

from lunar.data.splits import LADDER_SPLITS
from lunar.metrics.deviation import ds as deviation
from lunar.metrics.outcomes import refusal
from lunar.metrics.rouge import rouge1
from lunar.metrics.samples import interval
from lunar.metrics.study import Study


def climb(
    answers: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]], top: str, resamples: int, seed: int
) -> list[dict[str, Any]]:
    """What each rung does.

    Args:
        answers: by rung, in order, then asides; rows with ``prediction`` by split of ``LADDER_SPLITS``.
        top: the last rung; what comes after it is compared with it.
        resamples, seed: of the bootstrap.

    Returns:
        A row a rung: ``rung``, ``ds`` with ``ds_low`` and ``ds_high``, ``step`` (change of DS from the rung below; an
        aside's from the top) with its paired 95% interval ``step_low`` and ``step_high``, ``share`` (minus the step
        over the whole way from foot to top; the rungs' add up to 1, foot and asides have none), ``forget``, ``retain``,
        ``unseen`` (ROUGE-1 recall), ``forget_refusal`` and ``general_refusal``.
    """
    rows: list[dict[str, Any]] = []
    before = after = None
    for rung, splits in answers.items():
        study = Study({split: splits[split] for split in LADDER_SPLITS}, resamples, seed)
        ds = deviation(study)
        row = {"rung": rung, "ds": ds.value} | {f"ds_{end}": value for end, value in interval(ds.samples).items()}
        reference = before if after is None else after
        if reference is not None:
            row["step"] = ds.value - reference.value
            ends = interval(ds.samples - reference.samples)
            row |= {f"step_{end}": value for end, value in ends.items()}
        row |= {split: study.mean(split, rouge1).value for split in ("forget", "retain", "unseen")}
        row |= {f"{split}_refusal": study.mean(split, refusal).value for split in ("forget", "general")}
        rows.append(row)
        before = ds
        if rung == top:
            after = ds
    rungs = rows[: [row["rung"] for row in rows].index(top) + 1]
    way = rungs[0]["ds"] - rungs[-1]["ds"]
    for row in rungs[1:]:
        row["share"] = -row["step"] / way if way else None
    return rows


def numbers(rows: Sequence[Mapping[str, Any]], top: str, ends: Sequence[str]) -> dict[str, str]:
    """What the caption says.

    Args:
        rows: as ``climb`` gives them.
        top: the last rung.
        ends: the methods that the ladder goes between.
    """
    rungs = rows[: [row["rung"] for row in rows].index(top) + 1]
    largest = max(rungs[1:], key=lambda row: abs(row["step"]))
    return {
        "foot": ends[0],
        "top": ends[1],
        "foot_ds": f"{rungs[0]['ds']:.1f}",
        "top_ds": f"{rungs[-1]['ds']:.1f}",
        "largest": largest["rung"],
        "largest_step": f"{largest['step']:+.1f}",
        "explained": f"{100 * sum(row['share'] or 0 for row in rungs[1:]):.0f}%",
    }
