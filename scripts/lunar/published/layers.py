"""The published search for a layer, scored again from its steered answers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lunar.data.read import records
from lunar.errors import LunarError
from lunar.metrics.layer_score import Embed, layer_score
from lunar.metrics.refusal import is_refusal


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
    rows = [row for _, _, row in records(path)]
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


def layer_search(
    published: Mapping[str, Any], folder: Path, knowledge_reference: str, unethical: Sequence[str], embed: Embed
) -> tuple[list[dict[str, Any]], str]:
    """The ranking of the published layers, and where the published choice stands in it.

    Args:
        published: ``layers`` of a publication: ``file``, ``candidates`` and ``chosen``.
        folder: where its file is.
        knowledge_reference, unethical, embed: as for ``layer_ranking``.

    Returns:
        Rows of ``layer_ranking`` with ``published_choice``, and words; no rows where the file is absent.

    Raises:
        LunarError: as ``layer_ranking``.
    """
    path = folder / published["file"]
    if not path.is_file():
        return [], f"absent: {path.name}"
    ranking = layer_ranking(path, published["candidates"], knowledge_reference, unethical, embed)
    ranking = [row | {"published_choice": row["layer"] == published["chosen"]} for row in ranking]
    return ranking, choice_in_words(ranking, published["chosen"])
