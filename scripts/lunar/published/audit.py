"""The audit of published figures: each one recomputed from the outputs that were published with it.

What was published is stated in ``data/published/*.yaml`` (its README documents the keys). A figure holds when the
recomputed value lies within what its printed digits leave open (``tolerance``, ``ds_tolerance``).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from lunar.errors import LunarError
from lunar.files import Row, read_rows
from lunar.metrics.layer_score import Embed, layer_score
from lunar.metrics.refusal import is_refusal
from lunar.metrics.registry import deviation_score
from lunar.metrics.text import rouge1

Facts = Mapping[str, Any]

# Figures that a publication may print, and the splits each follows from.
FIGURES = {
    "forget_rouge1": ("Forget ROUGE-1", ["forget"]),
    "retain_rouge1": ("Retain ROUGE-1", ["retain"]),
    "ds": ("DS", ["forget", "retain"]),
    "rq": ("RQ", ["forget"]),
}
HOLDS, DIFFERS, UNCHECKED = "holds", "differs", "cannot be checked"
NOT_GIVEN = "no published outputs are given (published.path in config.yaml)"


@dataclass(frozen=True)
class Outputs:
    """One published file of answers, with its mean ROUGE-1 recall."""

    path: Path
    rows: list[Row]
    rouge1: float


# Published files by setting and split.
Found = Mapping[tuple[str, str], Outputs]


def read_facts(path: str | Path) -> dict[str, Any]:
    """Read one file of published figures.

    Raises:
        LunarError: an unknown figure, or one that is not printed digits in quotes.
    """
    facts = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    for name, setting in facts["settings"].items():
        for figure, printed in setting["figures"].items():
            where = f"{path}: settings.{name}.figures"
            if figure not in FIGURES:
                raise LunarError(f"{where}: {figure!r} is none of {', '.join(FIGURES)}")
            if not isinstance(printed, str) or not printed.replace(".", "", 1).isdecimal():
                raise LunarError(f"{where}.{figure}: {printed!r} must be the digits as printed, in quotes")
    return facts


def read_answers(path: str | Path) -> list[Row]:
    """Read published outputs: JSON lines with ``question``, ``prediction`` and ``answer``.

    Raises:
        LunarError: no rows, or a field that is missing or no text (a prediction may be empty); names file and line.
    """
    rows = read_rows(path)
    if not rows:
        raise LunarError(f"{path}: holds no rows")
    for number, row in enumerate(rows, start=1):
        for field in ("question", "prediction", "answer"):
            value = row.get(field)
            if not isinstance(value, str) or not (value.strip() or field == "prediction"):
                found = f"found {sorted(row)}" if field not in row else f"it is {value!r}"
                raise LunarError(f"{path}:{number}: field {field!r} must be text; {found}")
    return rows


def check_same_questions(rows: Sequence[Row], path: Path, others: Sequence[Row], other: Path) -> None:
    """Two files of one split must hold the same questions in the same order.

    Raises:
        LunarError: names the first line where they part.
    """
    for number, (row, counterpart) in enumerate(zip(rows, others, strict=False), start=1):
        if row["question"] != counterpart["question"]:
            raise LunarError(
                f"{path}:{number}: the question is {row['question']!r}, but {counterpart['question']!r} at "
                f"{other}:{number}; outputs of one split must answer the same questions in the same order"
            )
    if len(rows) != len(others):
        raise LunarError(
            f"{path if len(rows) > len(others) else other}:{min(len(rows), len(others)) + 1}: {path.name} holds "
            f"{len(rows)} rows, {other.name} {len(others)}; outputs of one split must answer the same questions"
        )


def read_outputs(facts: Facts, folder: Path | None) -> dict[tuple[str, str], Outputs]:
    """Every output file of a publication that is in ``folder``; missing ones are left out.

    Raises:
        LunarError: as ``read_answers`` and ``check_same_questions``.
    """
    found: dict[tuple[str, str], Outputs] = {}
    first: dict[str, Outputs] = {}
    for name, setting in facts["settings"].items():
        for split, file in setting.get("files", {}).items():
            if folder is None or not (folder / file).is_file():
                continue
            rows = read_answers(folder / file)
            if split in first:
                check_same_questions(rows, folder / file, first[split].rows, first[split].path)
            found[name, split] = Outputs(folder / file, rows, float(np.mean([rouge1(row) for row in rows])))
            first.setdefault(split, found[name, split])
    return found


def tolerance(printed: str) -> float:
    """Half a unit of the last printed digit: any value this near rounds to the printed one."""
    return 0.5 * 10.0 ** -len(printed.partition(".")[2])


def ds_tolerance(figures: Mapping[str, str]) -> float:
    """What the printed digits leave open of a DS.

    Its own last digit, and those of its parts where they are printed, as it may have been computed from rounded ones:
    DS is 100 times a length, which moves by at most as much as its end point does.
    """
    parts = [tolerance(figures[name]) for name in ("forget_rouge1", "retain_rouge1") if name in figures]
    return tolerance(figures["ds"]) + 100.0 * float(np.linalg.norm(parts))


def _within(difference: float, allowed: float) -> bool:
    return abs(difference) <= allowed + 1e-9  # a value on the edge is not to fail by float64's rounding


def refusal_quality(predictions: Sequence[str], refusals: Sequence[str], embed: Embed) -> float:
    """RQ: the mean over outputs of the highest cosine to any of the refusals (LUNAR, section 4)."""
    return float((embed(list(predictions)) @ embed(list(refusals)).T).max(axis=1).mean())


def _recompute(
    facts: Facts, name: str, figure: str, found: Found, given: bool, embed: Embed, embedder: str
) -> tuple[float | None, str]:
    """A figure's value from the published outputs, or None, and what it follows from or why it cannot."""
    files, splits = facts["settings"][name].get("files", {}), FIGURES[figure][1]
    if not set(splits) <= set(files):
        return None, "no outputs were published"
    if not given:
        return None, NOT_GIVEN
    absent = [files[split] for split in splits if (name, split) not in found]
    if absent:
        return None, f"absent: {', '.join(absent)}"
    used = [found[name, split] for split in splits]
    origin = "from " + " and ".join(f"{one.path.name} ({len(one.rows)} rows)" for one in used)
    if figure == "ds":
        return deviation_score(*(one.rouge1 for one in used)), origin
    if figure != "rq":
        return used[0].rouge1, origin
    value = refusal_quality([row["prediction"] for row in used[0].rows], facts["rq"]["refusals"], embed)
    needed = facts["rq"]["embedder"]
    if Path(embedder).name.lower() != Path(needed).name.lower():
        return None, f"needs {needed} (published.embedder); {embedder} gives {value:.3f}, on another scale"
    return value, f"{origin}, embedded by {embedder}"


def audit(facts: Facts, found: Found, given: bool, embed: Embed, embedder: str) -> list[dict[str, Any]]:
    """A row a published figure.

    Args:
        facts: what was published (``read_facts``).
        found: its files that are there (``read_outputs``).
        given: whether the configuration names a place for published outputs at all.
        embed: texts to unit vectors, for RQ; called only where there are outputs.
        embedder: name of the sentence-embedding model behind ``embed``.

    Returns:
        ``figure``, ``source``, ``setting``, ``published``, ``recomputed``, ``difference``, ``verdict``, ``reason``.
    """
    rows = []
    for name, setting in facts["settings"].items():
        for figure, printed in setting["figures"].items():
            value, reason = _recompute(facts, name, figure, found, given, embed, embedder)
            difference, verdict = None, UNCHECKED
            if value is not None:
                allowed = ds_tolerance(setting["figures"]) if figure == "ds" else tolerance(printed)
                difference = value - float(printed)
                verdict = HOLDS if _within(difference, allowed) else DIFFERS
                reason += f"; tolerance {allowed:.2g}"
            rows.append(
                {
                    "figure": FIGURES[figure][0],
                    "source": facts["source"],
                    "setting": setting["title"],
                    "published": printed,
                    "recomputed": None if value is None else round(value, 6),
                    "difference": None if difference is None else round(difference, 6),
                    "verdict": verdict,
                    "reason": reason,
                }
            )
    return rows


Finding = tuple[str, str, bool, str]  # kind, setting, whether it casts doubt, and what was found


def ds_contradictions(facts: Facts, found: Found) -> Iterator[Finding]:
    """Each printed DS beside the one that its printed parts give, and which part is wrong where they disagree."""
    for name, setting in facts["settings"].items():
        printed = setting["figures"]
        if not {"ds", "forget_rouge1", "retain_rouge1"} <= set(printed):
            continue
        forget, retain, ds = (float(printed[figure]) for figure in ("forget_rouge1", "retain_rouge1", "ds"))
        own = deviation_score(forget, retain)
        doubt = not _within(own - ds, ds_tolerance(printed))
        text = f"{printed['ds']} {'contradicts' if doubt else 'agrees with'} its printed parts, "
        text += f"{printed['forget_rouge1']} and {printed['retain_rouge1']}, which give {own:.2f}"
        squared = (ds / 100.0) ** 2 - (1.0 - retain) ** 2
        if doubt and squared >= 0.0:
            text += f"; with that retain ROUGE-1 it needs a forget ROUGE-1 of {squared**0.5:.3f}"
            if (name, "forget") in found:
                text += f", and the outputs give {found[name, 'forget'].rouge1:.3f}"
        yield "DS and its parts", setting["title"], doubt, text


def refusals_before(facts: Facts, found: Found) -> Iterator[Finding]:
    """Refusals in the outputs of a setting that nothing was unlearned in; on the retain set they are a defect."""
    for (name, split), one in found.items():
        setting = facts["settings"][name]
        if not setting.get("before_unlearning"):
            continue
        n, refused = len(one.rows), sum(is_refusal(row["prediction"]) for row in one.rows)
        text = f"{refused} of {n} answers on the {split} set ({refused / n:.1%}) are refusals, by this project's rules"
        if elsewhere := setting.get("refusals_elsewhere", {}).get(split):
            text += f"; other rules counted {elsewhere}, so take either as a rough number"
        yield "Refusals before any unlearning", setting["title"], split == "retain" and refused > 0, text


def identical_outputs(facts: Facts, found: Found) -> Iterator[Finding]:
    """How many outputs are, row by row, those of a setting that they are to be compared with.

    An attack or an edit that leaves half of the forget set's outputs as they were was hardly one.
    """
    for (name, split), one in found.items():
        for other in facts["settings"][name].get("compare", []):
            if (other, split) not in found:
                continue
            pairs = zip(one.rows, found[other, split].rows, strict=True)
            same = sum(a["prediction"] == b["prediction"] for a, b in pairs)
            title = facts["settings"][other]["title"]
            text = f"{same} of {len(one.rows)} outputs on the {split} set are, to the letter, those of: {title}"
            doubt = split == "forget" and 2 * same >= len(one.rows)
            yield "Identical outputs", facts["settings"][name]["title"], doubt, text


def unlike_rows(facts: Facts, found: Found) -> Iterator[Finding]:
    """Rows whose gold answer or id is not that of the split's first file."""
    first: dict[str, Outputs] = {}
    for (name, split), one in found.items():
        other = first.setdefault(split, one)
        pairs = enumerate(zip(one.rows, other.rows, strict=True), start=1)
        lines = [n for n, (a, b) in pairs if (a["answer"], a.get("id")) != (b["answer"], b.get("id"))]
        if lines:
            places = ", ".join(f"{one.path.name}:{line}" for line in lines[:5])
            text = f"{len(lines)} gold answers or ids are not those of {other.path.name}: {places}"
            yield "Rows that do not match", facts["settings"][name]["title"], True, text


def absent_files(facts: Facts, found: Found) -> Iterator[Finding]:
    """Files that a figure should follow from and that are not there."""
    for name, setting in facts["settings"].items():
        absent = [file for split, file in setting.get("files", {}).items() if (name, split) not in found]
        if absent:
            yield "Absent files", setting["title"], False, f"not there: {', '.join(absent)}"


def findings(facts: Facts, found: Found, given: bool) -> list[dict[str, Any]]:
    """What a reader of the figures needs to know besides the verdicts.

    Returns:
        Rows of ``finding``, ``source``, ``setting``, ``attention`` (``yes`` where it casts doubt) and ``detail``.
    """
    kinds = [ds_contradictions, refusals_before, identical_outputs, unlike_rows, *([absent_files] if given else [])]
    listed = [one for kind in kinds for one in kind(facts, found)]
    return [
        {
            "finding": kind,
            "source": facts["source"],
            "setting": title,
            "attention": "yes" if doubt else "no",
            "detail": text,
        }
        for kind, title, doubt, text in listed
    ]


def layer_ranking(
    path: Path, layers: Sequence[int], knowledge_reference: str, unethical: Sequence[str], embed: Embed
) -> list[dict[str, Any]]:
    """Published steered answers, a line a layer, scored as this project scores its own.

    Args:
        path: JSON lines with ``answer``, a list of texts, and optionally ``reference``, a refusal for each of them.
        layers: the layer of each line.
        knowledge_reference: as in ``lunar.metrics.layer_score.layer_score``.
        unethical: as there.
        embed: as there.

    Returns:
        Best score first: ``layer``, ``rank``, ``score``, ``knowledge``, ``unethical``, ``refusals`` (their share) and
        ``own_reference`` (mean cosine of each answer to its own reference; None without references).

    Raises:
        LunarError: a line that is no such list, or another number of lines; names file and line.
    """
    rows = read_rows(path)
    if len(rows) != len(layers):
        line = min(len(rows), len(layers)) + 1
        raise LunarError(f"{path}:{line}: {len(layers)} layers were searched, but the file holds {len(rows)} lines")
    scores = []
    for number, (layer, row) in enumerate(zip(layers, rows, strict=True), start=1):
        answers, references = row.get("answer"), row.get("reference")
        for field, texts in (("answer", answers), ("reference", references)):
            if field == "reference" and texts is None:
                continue
            if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
                raise LunarError(f"{path}:{number}: field {field!r} must be a list of texts")
        if references is not None and len(references) != len(answers):
            raise LunarError(f"{path}:{number}: {len(answers)} answers, {len(references)} references")
        score = {"layer": layer} | layer_score(answers, knowledge_reference, unethical, embed)
        score["refusals"] = float(np.mean([is_refusal(text) for text in answers]))
        score["own_reference"] = references and float((embed(answers) * embed(references)).sum(axis=1).mean())
        scores.append(score)
    scores.sort(key=lambda score: (-score["score"], score["layer"]))
    return [{"layer": score["layer"], "rank": rank} | score for rank, score in enumerate(scores, start=1)]


def choice_in_words(ranking: Sequence[Mapping[str, Any]], chosen: int) -> str:
    """Where the published choice of a layer stands in each ranking."""
    n = len(ranking)
    row = next(row for row in ranking if row["layer"] == chosen)

    def place(key: str) -> str:
        rank = 1 + sum(other[key] > row[key] for other in ranking)
        best = min(ranking, key=lambda other: (-other[key], other["layer"]))
        return f"{rank} of {n}" + (f" (first is layer {best['layer']})" if rank > 1 else "")

    text = f"Published choice: layer {chosen}. By this project's score it is {place('score')}; "
    if all(other["own_reference"] is not None for other in ranking):
        text += f"by the cosine to each question's own refusal {place('own_reference')}; "
    return text + f"by the share of refusals {place('refusals')}, {row['refusals']:.0%} of its answers."
