"""OpenUnlearning's evaluation logs of compared methods beside this project's numbers: table and page."""

import pandas as pd

from lunar.files import write_text
from lunar.pages.render import render
from lunar.progress import script
from lunar.published.evaluation_logs import read_log
from lunar.published.open_unlearning import CONTROL, beside, page


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} OpenUnlearning's logs", smk.log[0]):
        logs = {name: read_log(path) for name, path in smk.params.logs.items()}
        long = pd.read_csv(smk.input.long)
        table = pd.concat([beside(name, log, long, logs.get(CONTROL)) for name, log in logs.items()], ignore_index=True)
        write_text(smk.output.csv, table.to_csv(index=False, float_format="%.6g"))
        text = render(
            smk.input.template,
            style=smk.input.style,
            title=f"{smk.wildcards.experiment}: OpenUnlearning's logs beside ours",
            rows=page(table),
        )
        write_text(smk.output.html, text)


main(snakemake)  # noqa: F821
