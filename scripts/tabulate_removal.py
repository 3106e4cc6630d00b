"""Whether each attacked edit removed what it was to remove: table, page, and the numbers of its caption."""

import pandas as pd

from lunar.files import read_rows, write_text
from lunar.pages.numbers import write_numbers
from lunar.pages.removal import judge, numbers, page, reference
from lunar.pages.render import render
from lunar.progress import script


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} hidden or removed", smk.log[0]):
        methods = smk.params.methods
        said = {row["id"]: row["prediction"] for row in read_rows(smk.input.answers)}
        forget = [row | {"prediction": said[row["id"]]} for row in read_rows(smk.input.forget)]
        copies = [row for path in smk.input.renamed for row in read_rows(path)]
        instead = None if smk.params.never_knew else reference(copies, forget)
        table = judge(pd.read_csv(smk.input.long), pd.read_csv(smk.input.attacks), methods, instead)
        write_text(smk.output.csv, table.to_csv(index=False, float_format="%.6g"))
        write_numbers(smk.output.numbers, numbers(table, instead))
        text = render(
            smk.input.template,
            style=smk.input.style,
            title=f"{smk.wildcards.experiment}: hidden or removed?",
            methods=methods,
            rows=page(table),
        )
        write_text(smk.output.html, text)


main(snakemake)  # noqa: F821
