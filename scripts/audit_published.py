"""Recompute what was published, from the outputs that were published with it: tables, a page and a summary."""

from functools import cache
from pathlib import Path

import pandas as pd

from lunar.data.load import load
from lunar.files import write_text
from lunar.model.embed import embedder
from lunar.pages.render import render
from lunar.progress import script
from lunar.published.audit import audit
from lunar.published.outputs import read_facts

FIGURES = ["figure", "source", "setting", "published", "recomputed", "difference", "verdict", "reason"]
FINDINGS = ["finding", "source", "setting", "attention", "detail"]
LAYERS = ["layer", "rank", "score", "knowledge", "unethical", "own_reference", "refusals", "published_choice"]


def write_csv(path: str, columns: list[str], rows: list[dict]) -> None:
    write_text(path, pd.DataFrame(rows, columns=columns).to_csv(index=False))


def main(smk) -> None:
    with script("published audit", smk.log[0]) as progress:
        folder = smk.params.folder and Path(smk.params.folder)
        model = cache(lambda: embedder(smk.params.embedder))  # loaded only where there is something to embed
        name, reference = smk.params.embedder["name"], smk.params.knowledge_reference
        publications = [read_facts(path) for path in smk.input.facts]
        refusals = load([smk.params.refusals], ("answer", "kind", "part"))
        unethical = [row["answer"] for row in refusals if row["kind"] == "unethical" and row["part"] == "build"]
        found = audit(publications, folder, lambda texts: model()(texts), name, reference, unethical, progress.say)
        rounded = [{key: round(x, 6) if isinstance(x, float) else x for key, x in row.items()} for row in found.ranking]
        write_csv(smk.output.audit, FIGURES, found.figures)
        write_csv(smk.output.findings, FINDINGS, found.findings)
        write_csv(smk.output.layers, LAYERS, rounded)
        summary = found.summary()
        progress.say(summary)
        write_text(smk.output.summary, f".. |audit| replace:: {summary}\n")
        page = render(
            smk.input.template,
            style=smk.input.style,
            publications=publications,
            summary=summary,
            figures=found.figures,
            findings=sorted(found.findings, key=lambda row: row["attention"] == "no"),
            ranking=found.ranking,
            choice=found.choice,
            given=folder is not None,
            embedder=name,
        )
        write_text(smk.output.page, page)


main(snakemake)  # noqa: F821
