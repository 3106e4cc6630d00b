"""Whether each attacked edit removed what it was to remove: table, page, and the numbers of its caption."""

import pandas as pd

from lunar.files import write_text
from lunar.pages.numbers import write_numbers
from lunar.pages.removal import judge, numbers, page
from lunar.pages.render import render
from lunar.progress import script


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} hidden or removed", smk.log[0]):
        methods = smk.params.methods
        table = judge(pd.read_csv(smk.input.long), pd.read_csv(smk.input.attacks), methods)
        write_text(smk.output.csv, table.to_csv(index=False, float_format="%.6g"))
        write_numbers(smk.output.numbers, numbers(table))
        text = render(
            smk.input.template,
            style=smk.input.style,
            title=f"{smk.wildcards.experiment}: hidden or removed?",
            methods=methods,
            rows=page(table),
        )
        write_text(smk.output.html, text)


main(snakemake)  # noqa: F821
