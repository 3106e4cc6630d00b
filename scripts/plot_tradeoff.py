"""Forgetting against retention, every method a point with its intervals and its name."""

from pathlib import Path

import pandas as pd

from lunar.files import write_text
from lunar.pages.figures import save
from lunar.pages.kinds import kinds
from lunar.pages.numbers import write_numbers
from lunar.pages.render import render
from lunar.pages.tooltips import inline, titled
from lunar.pages.tradeoff import draw, numbers, points
from lunar.progress import script


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} figure tradeoff", smk.log[0]):
        table = pd.read_csv(smk.input.table)
        shown = points(table)
        save(draw(shown, kinds(smk.params.recipes)), smk.output.figure, smk.output.pdf)
        svg = titled(Path(smk.output.figure).read_text(encoding="utf-8"), {one["id"]: one["title"] for one in shown})
        write_text(smk.output.figure, svg)
        page = render(
            smk.input.template,
            style=smk.input.style,
            title=f"{smk.wildcards.experiment}: forgetting against retention",
            figure=inline(svg),
        )
        write_text(smk.output.page, page)
        write_numbers(smk.output.numbers, numbers(table))


main(snakemake)  # noqa: F821
