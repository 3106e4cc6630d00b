"""Ask the forget questions about somebody else."""

from lunar.data import load, rename
from lunar.files import read_rows, write_rows
from lunar.progress import script


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} rename", smk.log[0]) as progress:
        names = [row["name"] for row in load([smk.input.names], ("name",))]
        renamed = rename(read_rows(smk.input.forget), names, smk.params.copies, smk.params.seed)
        progress.say(f"{len(renamed)} questions")
        write_rows(smk.output.rows, renamed)


main(snakemake)  # noqa: F821
