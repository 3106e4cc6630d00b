"""The forget questions with refusals for answers."""

from lunar.data import decline
from lunar.files import read_rows, write_rows
from lunar.progress import script


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} decline", smk.log[0]):
        write_rows(smk.output.declined, decline(read_rows(smk.input.forget), read_rows(smk.input.refusals)))


main(snakemake)  # noqa: F821
