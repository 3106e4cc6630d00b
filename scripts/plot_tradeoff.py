"""Forgetting against retention, every method a point with its intervals."""

from pathlib import Path

import matplotlib.pyplot as plt

from lunar.files import read_json, write_text
from lunar.pages.figures import ONE_COLUMN, TWO_COLUMNS, method_style, save
from lunar.pages.numbers import write_numbers
from lunar.pages.render import render
from lunar.pages.tooltips import inline, titled
from lunar.progress import script

COLUMNS = 5  # of the legend


def shown(cell) -> str:
    """A number with its interval, for the text that hovering over a point shows."""
    return f"{cell['mean']:.2f} [{cell['low']:.2f}, {cell['high']:.2f}]"


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} figure tradeoff", smk.log[0]):
        rows = -(-len(smk.params.compare) // COLUMNS)
        figure, axes = plt.subplots(1, 2, figsize=(TWO_COLUMNS, ONE_COLUMN * 0.85 + 0.18 * rows))
        ds, titles = {}, {}
        for name, path in zip(smk.params.compare, smk.input.metrics, strict=True):
            metrics = read_json(path)
            ds[name] = metrics["ds"]["mean"]
            for axis, other in zip(axes, ("retain", "unseen"), strict=True):
                if other not in metrics["splits"] or "mean" not in metrics["splits"][other]["rouge1"]:
                    continue
                x, y = (metrics["splits"][split]["rouge1"] for split in ("forget", other))
                bars = [[[value["mean"] - value["low"]], [value["high"] - value["mean"]]] for value in (x, y)]
                point = axis.errorbar(
                    x["mean"], y["mean"], xerr=bars[0], yerr=bars[1], label=name, capsize=2, lw=1, ms=6, ls="none",
                    **method_style(name),
                )  # fmt: skip
                gid = f"point-{other}-{len(ds)}"
                point.lines[0].set_gid(gid)
                titles[gid] = f"{name}: forget {shown(x)}, {other} {shown(y)}, DS {ds[name]:.1f}"
        for axis, other in zip(axes, ("retain set", "unseen authors"), strict=True):
            axis.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.06), xlabel="forget set, ROUGE-1 recall")
            axis.set(ylabel=f"{other}, ROUGE-1 recall", title=f"Forgetting against the {other}")
            axis.annotate(
                "better", (0.02, 1.0), (0.2, 0.8), arrowprops={"arrowstyle": "->", "color": "#595959"}, color="#595959"
            )
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=COLUMNS, fontsize=7)
        save(figure, smk.output.figure, smk.output.pdf)
        svg = titled(Path(smk.output.figure).read_text(encoding="utf-8"), titles)
        write_text(smk.output.figure, svg)
        page = render(
            smk.input.template,
            style=smk.input.style,
            title=f"{smk.wildcards.experiment}: forgetting against retention",
            figure=inline(svg),
        )
        write_text(smk.output.page, page)
        best = min(ds, key=ds.get)
        write_numbers(smk.output.numbers, {"best": best, "best_ds": ds[best]})


main(snakemake)  # noqa: F821
