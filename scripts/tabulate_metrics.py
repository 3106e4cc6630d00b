"""One table of all compared methods in five renderings, and the summary on the report's first page."""

from lunar.files import read_json, write_text
from lunar.pages.main_table import ARROWS, latex, long, markdown, readable, render, sections, summary, wide
from lunar.progress import script


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} table", smk.log[0]):
        metrics = {name: read_json(path) for name, path in zip(smk.params.compare, smk.input.metrics, strict=True)}
        write_text(smk.output.csv, wide(metrics).to_csv(index=False))
        write_text(smk.output.long, long(metrics).to_csv(index=False))
        rows = readable(metrics)
        write_text(smk.output.markdown, markdown(rows, list(metrics)))
        write_text(smk.output.latex, latex(rows, list(metrics)))
        run = smk.wildcards.experiment.partition("@")[0]  # without its seed
        commands = {
            name: f".venv/bin/snakemake --cores all {path} --config run='[{run}]'"
            for name, path in zip(smk.params.compare, smk.input.metrics, strict=True)
        }
        page = render(
            smk.input.template,
            style=smk.input.style,
            title=f"{smk.wildcards.experiment}: every metric",
            sections=sections(rows),
            methods=list(metrics),
            arrows=ARROWS,
            commands=commands,
        )
        write_text(smk.output.html, page)
        layers, rehearsed = read_json(smk.input.layers), bool(smk.params.rehearsed)
        write_text(smk.output.summary, summary(smk.wildcards.experiment, metrics, layers, rehearsed))


main(snakemake)  # noqa: F821
