"""Ask the forget questions under half of the subject's name, and about somebody else."""

from lunar.data.forget_sets import forget_sets
from lunar.data.load import stand_ins
from lunar.files import read_rows, write_rows
from lunar.progress import script


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} rename", smk.log[0]) as progress:
        forget, names = read_rows(smk.input.forget), stand_ins(smk.params.names, smk.params.fields)
        made = forget_sets(forget, names, smk.params.copies, smk.params.seed)
        short, renamed = made["short"], made["renamed"]
        progress.say(f"{len(short)} questions under half of a name, {len(renamed)} about somebody else")
        write_rows(smk.output.names, [{"name": name} for name in names])
        write_rows(smk.output.short, short)
        write_rows(smk.output.renamed, renamed)


main(snakemake)  # noqa: F821
