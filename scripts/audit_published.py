"""Recompute what was published, from the outputs that were published with it: tables, a page and a summary."""

import csv
import io
from functools import cache
from pathlib import Path

from lunar.files import read_rows, write_text
from lunar.model.embed import embedder
from lunar.pages.render import render
from lunar.progress import script
from lunar.published.audit import (
    DIFFERS,
    HOLDS,
    NOT_GIVEN,
    UNCHECKED,
    audit,
    choice_in_words,
    findings,
    layer_ranking,
    read_facts,
    read_outputs,
)

FIGURES = ["figure", "source", "setting", "published", "recomputed", "difference", "verdict", "reason"]
FINDINGS = ["finding", "source", "setting", "attention", "detail"]
LAYERS = ["layer", "rank", "score", "knowledge", "unethical", "own_reference", "refusals", "published_choice"]


def write_csv(path: str, columns: list[str], rows: list[dict]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def main(smk) -> None:
    with script("published audit", smk.log[0]) as progress:
        folder = smk.params.folder and Path(smk.params.folder)
        model = cache(lambda: embedder(smk.params.embedder))  # loaded only where there is something to embed
        figures, remarks, ranking, choice = [], [], [], NOT_GIVEN
        publications = [read_facts(path) for path in smk.input.facts]
        for facts in publications:
            found = read_outputs(facts, folder)
            for one in found.values():
                progress.say(f"{one.path.name}: {len(one.rows)} answers, ROUGE-1 {one.rouge1:.4f}")
            name = smk.params.embedder["name"]
            figures += audit(facts, found, folder is not None, lambda texts: model()(texts), name)
            remarks += findings(facts, found, folder is not None)
            if "layers" not in facts or folder is None:
                continue
            layers = facts["layers"]
            path = folder / layers["file"]
            if not path.is_file():
                choice = f"absent: {path.name}"
                continue
            refusals = read_rows(smk.input.refusals)
            unethical = [row["answer"] for row in refusals if row["kind"] == "unethical" and row["part"] == "build"]
            reference = smk.params.knowledge_reference
            ranking = layer_ranking(path, layers["candidates"], reference, unethical, model())
            ranking = [row | {"published_choice": row["layer"] == layers["chosen"]} for row in ranking]
            choice = choice_in_words(ranking, layers["chosen"])
        rounded = [{key: round(x, 6) if isinstance(x, float) else x for key, x in row.items()} for row in ranking]
        write_csv(smk.output.audit, FIGURES, figures)
        write_csv(smk.output.findings, FINDINGS, remarks)
        write_csv(smk.output.layers, LAYERS, rounded)
        verdicts = [row["verdict"] for row in figures]
        counts = ", ".join(f"{verdict} {verdicts.count(verdict)}" for verdict in (HOLDS, DIFFERS, UNCHECKED))
        doubts = sum(row["attention"] == "yes" for row in remarks)
        summary = f"Verdicts on {len(figures)} published figures: {counts}. Findings that cast doubt: {doubts}."
        progress.say(summary)
        write_text(smk.output.summary, f".. |audit| replace:: {summary}\n")
        page = render(
            smk.input.template,
            style=smk.input.style,
            publications=publications,
            summary=summary,
            figures=figures,
            findings=sorted(remarks, key=lambda row: row["attention"] == "no"),
            ranking=ranking,
            choice=choice,
            given=folder is not None,
            embedder=smk.params.embedder["name"],
        )
        write_text(smk.output.page, page)


main(snakemake)  # noqa: F821
