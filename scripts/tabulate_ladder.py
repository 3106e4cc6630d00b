"""The ladder as a table, and as a figure of what each rung does to DS."""

import matplotlib.pyplot as plt
import pandas as pd

from lunar.data.splits import LADDER_SPLITS
from lunar.files import read_rows, write_text
from lunar.metrics.read import read_answers
from lunar.pages.figures import TWO_COLUMNS, save, write_numbers
from lunar.pages.ladder import climb
from lunar.pages.main_table import render
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

        names = [row["rung"] for row in rows]
        height = names.index(smk.params.top) + 1
        places = [place + (0.6 if place >= height else 0) for place in range(len(rows))]
        colours = ["#0072B2" if place < height else "#BBBBBB" for place in range(len(rows))]
        figure, (left, right) = plt.subplots(1, 2, figsize=(TWO_COLUMNS, 0.24 * len(rows) + 1.0), sharey=True)
        left.barh(places, [row["ds"] for row in rows], color=colours)
        bars = [[row["ds"] - row["ds_low"] for row in rows], [row["ds_high"] - row["ds"] for row in rows]]
        left.errorbar([row["ds"] for row in rows], places, xerr=bars, ls="none", color="#4D4D4D", lw=0.8, capsize=2)
        left.set_yticks(places, names)
        left.invert_yaxis()
        left.set(title="DS (0: best)", xlabel="DS, with 95% interval", xlim=(0, None))
        for key, marker, colour in (("forget", "X", "#D55E00"), ("retain", "o", "#0072B2"), ("unseen", "^", "#56B4E9")):
            right.plot([row[key] for row in rows], places, marker=marker, color=colour, ls="none", ms=5, label=key)
        right.set(title="ROUGE-1 recall", xlabel="forget: low is better; others: high", xlim=(-0.03, 1.03))
        right.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=3)
        for axis in (left, right):
            axis.grid(axis="y", visible=False)
        save(figure, smk.output.figure, smk.output.pdf)

        largest = max(rows[1:height], key=lambda row: abs(row["step"]))
        write_numbers(
            smk.output.numbers,
            {
                "foot": ends[0],
                "top": ends[1],
                "foot_ds": f"{rows[0]['ds']:.1f}",
                "top_ds": f"{rows[height - 1]['ds']:.1f}",
                "largest": largest["rung"],
                "largest_step": f"{largest['step']:+.1f}",
                "explained": f"{100 * sum(row['share'] or 0 for row in rows[1:height]):.0f}%",
            },
        )


main(snakemake)  # noqa: F821
