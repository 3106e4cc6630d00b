"""Every metric once a seed, with mean and standard deviation."""

import pandas as pd

from lunar.files import write_text
from lunar.progress import script
from lunar.tables import render, spread


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} seeds", smk.log[0]):
        tables = {seed: pd.read_csv(path) for seed, path in zip(smk.params.seeds, smk.input.tables, strict=True)}
        table = spread(tables)
        write_text(smk.output.csv, table.to_csv(index=False))
        page = render(
            smk.input.template,
            style=smk.input.style,
            title=f"{smk.wildcards.experiment}: spread over {len(tables)} seeds",
            columns=list(table.columns),
            rows=table.to_dict("records"),
        )
        write_text(smk.output.html, page)


main(snakemake)  # noqa: F821
