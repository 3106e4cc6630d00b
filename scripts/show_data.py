"""What goes in: rows of every split, and what cleaning kept and left out, with examples."""

import pandas as pd

from lunar.data.splits import TABLE
from lunar.files import read_rows, write_text
from lunar.pages.cleaning import CLEANED, counted, fate
from lunar.pages.numbers import write_numbers
from lunar.pages.render import render
from lunar.plan.job_inputs import inputs_named
from lunar.progress import script


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} data", smk.log[0]):
        data = {split: read_rows(path) for split, path in inputs_named("rows", smk.input).items()}
        originals = data["forget"] + data["forget_short"]
        fates = {
            name: fate(name, read_rows(kept), read_rows(dropped), originals)
            for name, kept, dropped in zip(CLEANED, smk.input.kept, smk.input.dropped, strict=True)
        }
        splits = counted(data)
        page = render(
            smk.input.template,
            style=smk.input.style,
            title=f"{smk.wildcards.experiment}: data and references",
            splits=splits,
            fates=list(fates.values()),
            leaked=smk.params.leaked,
        )
        write_text(smk.output.html, page)
        rows = [{"what": split} | line for split, line in zip(TABLE, splits, strict=True)]
        columns = ("title", "kept", "dropped")
        rows += [
            {"what": name, "rows": one["asked"]} | {key: one[key] for key in columns} for name, one in fates.items()
        ]
        table = pd.DataFrame(rows).astype({name: "Int64" for name in ("rows", "subjects", "kept", "dropped")})
        write_text(smk.output.csv, table.to_csv(index=False))
        numbers = {f"{split}_rows": len(rows) for split, rows in data.items()}
        numbers |= {f"{name}_{key}": one[key] for name, one in fates.items() for key in ("asked", "kept", "dropped")}
        write_numbers(smk.output.numbers, numbers)


main(snakemake)  # noqa: F821
