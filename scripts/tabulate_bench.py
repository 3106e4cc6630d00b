"""The table of what unlearning costs at a model's size."""

from pathlib import Path

import pandas as pd

from lunar.bench.table import COLUMNS, TEXTS, description, markdown, readable
from lunar.files import read_json, write_text
from lunar.pages.render import render
from lunar.progress import script


def main(smk) -> None:
    name = smk.wildcards.size
    with script(f"bench {name}", smk.log[0]):
        found = read_json(smk.input.json)
        rows, said = readable(found["stages"]), description(found)
        write_text(smk.output.csv, pd.DataFrame(found["stages"]).drop(columns=["work", "parts"]).to_csv(index=False))
        write_text(smk.output.markdown, f"{said}\n\n{markdown(rows)}")
        page = render(
            smk.input.template,
            style=smk.input.style,
            title=f"{name}: what unlearning costs",
            description=said,
            caption=Path(smk.input.caption).read_text(encoding="utf-8").replace("``", "").replace("*", ""),
            columns=COLUMNS,
            texts=TEXTS,
            rows=rows,
        )
        write_text(smk.output.html, page)


main(snakemake)  # noqa: F821
