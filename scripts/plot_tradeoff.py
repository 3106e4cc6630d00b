"""Forgetting against retention, every method a point with its intervals."""

from pathlib import Path

import matplotlib.pyplot as plt

from lunar.files import read_json, write_text
from lunar.pages.figures import ONE_COLUMN, TWO_COLUMNS, method_style, save
from lunar.pages.numbers import write_numbers
from lunar.pages.render import render
from lunar.pages.tooltips import inline, titled
from lunar.pages.tradeoff import numbers, points
from lunar.progress import script

COLUMNS = 5  # of the legend


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} figure tradeoff", smk.log[0]):
        metrics = {name: read_json(path) for name, path in zip(smk.params.compare, smk.input.metrics, strict=True)}
        rows = -(-len(metrics) // COLUMNS)
        figure, axes = plt.subplots(1, 2, figsize=(TWO_COLUMNS, ONE_COLUMN * 0.85 + 0.18 * rows))
        shown = points(metrics)
        for one in shown:
            drawn = axes[one["panel"]].errorbar(
                one["x"], one["y"], xerr=one["xerr"], yerr=one["yerr"], label=one["method"], capsize=2, lw=1, ms=6,
                ls="none", **method_style(one["method"]),
            )  # fmt: skip
            drawn.lines[0].set_gid(one["id"])
        for axis, other in zip(axes, ("retain set", "unseen authors"), strict=True):
            axis.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.06), xlabel="forget set, ROUGE-1 recall")
            axis.set(ylabel=f"{other}, ROUGE-1 recall", title=f"Forgetting against the {other}")
            axis.annotate(
                "better", (0.02, 1.0), (0.2, 0.8), arrowprops={"arrowstyle": "->", "color": "#595959"}, color="#595959"
            )
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=COLUMNS, fontsize=7)
        save(figure, smk.output.figure, smk.output.pdf)
        svg = titled(Path(smk.output.figure).read_text(encoding="utf-8"), {one["id"]: one["title"] for one in shown})
        write_text(smk.output.figure, svg)
        page = render(
            smk.input.template,
            style=smk.input.style,
            title=f"{smk.wildcards.experiment}: forgetting against retention",
            figure=inline(svg),
        )
        write_text(smk.output.page, page)
        write_numbers(smk.output.numbers, numbers(metrics))


main(snakemake)  # noqa: F821
