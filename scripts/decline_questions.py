"""The forget questions with refusals for answers."""

from lunar.data.forget_sets import forget_sets
from lunar.files import read_rows, write_rows
from lunar.progress import script


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} decline", smk.log[0]):
        made = forget_sets(read_rows(smk.input.forget), refusals=read_rows(smk.input.refusals))
        write_rows(smk.output.declined, made["declined"])


main(snakemake)  # noqa: F821
