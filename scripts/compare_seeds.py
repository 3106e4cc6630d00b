"""How far results vary with the seed: table, page, and the numbers of its caption."""

import pandas as pd

from lunar.files import write_text
from lunar.pages.numbers import write_numbers
from lunar.pages.render import render
from lunar.pages.seeds import HEADLINES, attacked, headline, lines, numbers, spread
from lunar.progress import script


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} seeds", smk.log[0]):
        seeds = smk.params.seeds

        def by_seed(paths):
            return dict(zip(seeds, map(pd.read_csv, paths), strict=True)) if paths else {}

        table = spread(by_seed(smk.input.tables), by_seed(smk.input.attacks))
        removal = by_seed(smk.input.removal)
        write_text(smk.output.csv, table.to_csv(index=False, float_format="%.6g"))
        write_numbers(smk.output.numbers, numbers(removal))
        page = render(
            smk.input.template,
            style=smk.input.style,
            title=f"{smk.wildcards.experiment}: spread over {len(seeds)} seeds",
            seeds=seeds,
            headlines=list(HEADLINES),
            methods=headline(table),
            attacks=attacked(table),
            lines=lines(removal) if removal else None,
            columns=list(table.columns),
            rows=table.to_dict("records"),
        )
        write_text(smk.output.html, page)


main(snakemake)  # noqa: F821
