"""From one method to another, one factor at a time: table, page, and the numbers of its caption."""

import pandas as pd

from lunar.data.splits import LADDER_SPLITS
from lunar.files import read_rows, write_text
from lunar.metrics.read import read_answers
from lunar.pages.ladder import climb, numbers
from lunar.pages.numbers import write_numbers
from lunar.pages.render import render
from lunar.progress import script


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} ladder", smk.log[0]):
        data = {split: read_rows(path) for split, path in zip(LADDER_SPLITS, smk.input.data, strict=True)}
        paths = iter(smk.input.answers)
        answers = {
            rung: {split: read_answers(next(paths), data[split]) for split in LADDER_SPLITS}
            for rung in smk.params.methods
        }
        rows = climb(answers, smk.params.top, smk.params.resamples, smk.params.seed)
        table = pd.DataFrame(rows).astype(float, errors="ignore")
        write_text(smk.output.csv, table.to_csv(index=False, float_format="%.6g"))
        ends = [smk.params.methods[rung] for rung in ("start", smk.params.top)]
        page = render(
            smk.input.template,
            style=smk.input.style,
            title=f"{smk.wildcards.experiment}: from {ends[0]} to {ends[1]}, one factor at a time",
            rows=rows,
            top=smk.params.top,
            ends=ends,
        )
        write_text(smk.output.html, page)
        write_numbers(smk.output.numbers, numbers(rows, smk.params.top, ends))


main(snakemake)  # noqa: F821
