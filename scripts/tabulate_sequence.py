"""What each request of a sequence does to the others: table, page and the numbers of its caption."""

from lunar.files import read_rows, write_text
from lunar.pages.numbers import write_numbers
from lunar.pages.render import render
from lunar.pages.sequence import numbers, page, tabulate
from lunar.progress import script


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} table of requests in sequence by {smk.wildcards.method}", smk.log[0]):
        table = tabulate(read_rows(smk.input.answers))
        write_numbers(smk.output.numbers, numbers(table, smk.params.titles))
        write_text(smk.output.csv, table.to_csv(index=False, float_format="%.6g"))
        text = render(
            smk.input.template,
            style=smk.input.style,
            title=f"{smk.wildcards.experiment}: requests in sequence by {smk.wildcards.method}",
            sets=list(table["set"].unique()),
            parts=page(table),
        )
        write_text(smk.output.html, text)


main(snakemake)  # noqa: F821
