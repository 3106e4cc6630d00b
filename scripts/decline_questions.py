"""The forget questions with refusals for answers."""

from lunar.data.rows import with_refusals
from lunar.files import read_rows, write_rows
from lunar.progress import script


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} decline", smk.log[0]):
        rows = with_refusals(read_rows(smk.input.forget), read_rows(smk.input.refusals), "knowledge")
        write_rows(smk.output.declined, rows)


main(snakemake)  # noqa: F821
