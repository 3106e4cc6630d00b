"""Ask the forget questions under half of the subject's name, and about somebody else."""

from lunar.data.rows import rename, shorten, stand_ins
from lunar.files import read_rows, write_rows
from lunar.progress import script


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} rename", smk.log[0]) as progress:
        names = stand_ins(smk.input.names)
        forget = read_rows(smk.input.forget)
        short = shorten(forget)
        renamed = rename([*forget, *short], names, smk.params.copies, smk.params.seed)
        progress.say(f"{len(short)} questions under half of a name, {len(renamed)} about somebody else")
        write_rows(smk.output.short, short)
        write_rows(smk.output.renamed, renamed)


main(snakemake)  # noqa: F821
