"""What each compared method that edits the model costs."""

import pandas as pd

from lunar.files import write_text
from lunar.pages.cost import COLUMNS, cost, readable
from lunar.pages.render import render
from lunar.progress import script


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} cost", smk.log[0]):
        kinds = ("facts", "cost", "edit", "benchmark")
        rehearsals = dict(zip(smk.params.rehearsed, smk.input.rehearsal, strict=True))
        rows = []
        for number, name in enumerate(smk.params.methods):
            files = {kind: smk.input[kind][number] for kind in kinds}
            if name in rehearsals:
                files["rehearsal"] = rehearsals[name]
            rows.append({"method": name} | cost(files))
        rows += [{"method": name} for name in smk.params.elsewhere]  # what that took was not seen here
        table = pd.DataFrame(rows, columns=list(COLUMNS))
        write_text(smk.output.csv, table.to_csv(index=False))
        page = render(
            smk.input.template,
            style=smk.input.style,
            title=f"{smk.wildcards.experiment}: what each method costs",
            columns=list(COLUMNS.values()),
            rows=readable(table),
        )
        write_text(smk.output.html, page)


main(snakemake)  # noqa: F821
