"""What lm-eval found, a row for each method, beside the method's row of the main table where there is one."""

import pandas as pd

from lunar.files import read_json, write_text
from lunar.pages.harness import columns
from lunar.progress import script


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} table of lm-eval", smk.log[0]):
        found = [{"method": name} for name in smk.params.methods]
        rows = [row | columns(read_json(path)) for row, path in zip(found, smk.input.json, strict=True)]
        table = pd.DataFrame(rows)
        if main_table := smk.input.get("main"):
            table = table.merge(pd.read_csv(main_table), on="method", how="left")
        write_text(smk.output.csv, table.to_csv(index=False, float_format="%.4f"))


main(snakemake)  # noqa: F821
