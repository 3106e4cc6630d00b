"""Hidden or removed: each edit's forget ROUGE-1 left alone and under its worst attack, beside what never knew."""

import pandas as pd

from lunar.pages.figures import save
from lunar.pages.hidden import draw, numbers, points
from lunar.pages.kinds import kinds
from lunar.pages.numbers import write_numbers
from lunar.progress import script


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} figure hidden", smk.log[0]):
        found = points(pd.read_csv(smk.input.attacks), pd.read_csv(smk.input.removal))
        save(draw(found, kinds(smk.params.recipes)), smk.output.figure, smk.output.pdf)
        write_numbers(smk.output.numbers, numbers(found))


main(snakemake)  # noqa: F821
