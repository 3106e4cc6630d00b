"""What every attack got back from every method: table, page, the numbers of captions, and a text for the first page."""

from itertools import product

from lunar.files import read_json, write_text
from lunar.metrics.samples import read_evaluated
from lunar.pages.attacks import compared, numbers, page, summary, tabulate
from lunar.pages.numbers import write_numbers
from lunar.pages.render import render
from lunar.progress import script


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} table of attacks", smk.log[0]):
        methods, attacks, edited = smk.params.methods, smk.params.attacks, smk.params.edited
        files = zip(product(methods, ["none", *attacks]), smk.input.metrics, smk.input.samples, strict=True)
        metrics = compared({pair: read_evaluated(*paths) for pair, *paths in files})
        pairs = product(methods, attacks)
        evidence = {pair: read_json(path) for pair, path in zip(pairs, smk.input.evidence, strict=True)}
        table = tabulate(metrics, evidence)
        write_text(smk.output.csv, table.to_csv(index=False, float_format="%.6g"))
        write_numbers(smk.output.numbers, numbers(table, edited))
        write_text(smk.output.summary, summary(table, edited))
        text = render(
            smk.input.template,
            style=smk.input.style,
            title=f"{smk.wildcards.experiment}: attacks",
            methods=methods,
            sections=page(table),
        )
        write_text(smk.output.html, text)


main(snakemake)  # noqa: F821
