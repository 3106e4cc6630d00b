"""One table of all compared methods in five renderings, and the summary on the report's first page."""

from lunar.data.languages import languages, unjudged
from lunar.files import read_json, read_rows, write_text
from lunar.metrics import refusal
from lunar.metrics.samples import read_evaluated
from lunar.pages.main_table import compared, long, readable, sections, wide
from lunar.pages.names import ARROWS
from lunar.pages.render import render, render_text
from lunar.pages.summary import summary
from lunar.progress import script


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} table", smk.log[0]):
        files = dict(zip(smk.params.compare, zip(smk.input.metrics, smk.input.samples, strict=True), strict=True))
        metrics = compared({name: read_evaluated(*paths) for name, paths in files.items()})
        write_text(smk.output.csv, wide(metrics).to_csv(index=False))
        write_text(smk.output.long, long(metrics).to_csv(index=False))
        data = {split: read_rows(path) for split, path in zip(smk.params.splits, smk.input.data, strict=True)}
        found = {split: languages(rows) for split, rows in data.items()}
        notes = [*unjudged(found, refusal.languages()).values()]
        shown = {"sections": sections(readable(metrics)), "methods": list(metrics), "arrows": ARROWS, "notes": notes}
        write_text(smk.output.markdown, render_text(smk.input.markdown, **shown))
        write_text(smk.output.latex, render_text(smk.input.latex, **shown))
        run = smk.wildcards.experiment.partition("@")[0]  # without its seed
        page = render(
            smk.input.template,
            style=smk.input.style,
            title=f"{smk.wildcards.experiment}: every metric",
            commands={
                name: f".venv/bin/snakemake --cores all {path} --config run='[{run}]'"
                for name, (path, _) in files.items()
            },
            **shown,
        )
        write_text(smk.output.html, page)
        layers, rehearsed = read_json(smk.input.layers), bool(smk.params.rehearsed)
        told = {"recipes": smk.params.recipes, "forget": data["forget"], "model": smk.params.model}
        write_text(smk.output.summary, summary(smk.wildcards.experiment, metrics, layers, rehearsed, notes, **told))


main(snakemake)  # noqa: F821
