"""Paper, replication and ours, for the attacks that the replication ran."""

from pathlib import Path

import pandas as pd
import yaml

from lunar.files import write_text
from lunar.pages.published_attacks import published, published_page
from lunar.pages.render import render
from lunar.progress import script


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} table of published attacks", smk.log[0]):
        paper, replication = (yaml.safe_load(Path(path).read_text(encoding="utf-8")) for path in smk.input.facts)
        table = published(paper, replication, pd.read_csv(smk.input.table), smk.params.methods)
        write_text(smk.output.csv, table.to_csv(index=False, float_format="%.6g"))
        text = render(
            smk.input.template,
            style=smk.input.style,
            title=f"{smk.wildcards.experiment}: the published attacks",
            methods=smk.params.methods,
            rows=published_page(table, smk.params.methods),
            publications=[paper, replication],
        )
        write_text(smk.output.html, text)


main(snakemake)  # noqa: F821
