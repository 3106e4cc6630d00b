"""What every attack draws from every method, as a heatmap; the model that never knew is set apart."""

import math

import matplotlib.pyplot as plt
import pandas as pd

from lunar.pages.attacks import above_control, by_pair
from lunar.pages.figures import RAMP, TWO_COLUMNS, save
from lunar.pages.names import CONTROL
from lunar.progress import script


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} figure attacks", smk.log[0]):
        table = pd.read_csv(smk.input.table)
        pairs, blank = by_pair(table), dict.fromkeys(table, math.nan)
        attacks, methods = (list(dict.fromkeys(table[name])) for name in ("attack", "method"))
        parts = [[name for name in methods if name != CONTROL], [name for name in methods if name == CONTROL]]
        parts = [part for part in parts if part]
        sizes = [len(part) for part in parts]
        figure, axes = plt.subplots(
            len(parts),
            1,
            figsize=(TWO_COLUMNS, max(2.2, 1.7 + 0.26 * len(methods))),  # the bar at the side has a name
            height_ratios=sizes,
            sharex=True,
            squeeze=False,
        )
        for axis, part in zip(axes[:, 0], parts, strict=True):
            rows = [[pairs.get((method, attack), blank) for attack in attacks] for method in part]
            values = [[row["forget_rouge1"] for row in line] for line in rows]
            image = axis.imshow(values, cmap=RAMP, vmin=0, vmax=1, aspect="auto")
            for y, line in enumerate(rows):
                for x, row in enumerate(line):
                    value = row["forget_rouge1"]
                    if math.isnan(value):  # the attack failed its checks on this method
                        continue
                    axis.text(
                        x,
                        y,
                        f"{value:.2f}".removeprefix("0")[:3],  # 1.0 is as wide as .99
                        ha="center",
                        va="center",
                        fontsize=6,
                        weight="bold" if above_control(row) else "normal",
                    )
            axis.set_yticks(range(len(part)), part)
            axis.grid(visible=False)
            axis.tick_params(length=0)
            axis.spines[:].set_visible(False)
            axis.axvline(0.5, color="white", lw=3)  # what is unattacked, from what is
        axes[-1, 0].set_xticks(range(len(attacks)), attacks, rotation=60, ha="right", rotation_mode="anchor")
        axes[0, 0].set_title("Forget ROUGE-1 under attack")
        figure.colorbar(image, ax=axes[:, 0].tolist(), label="ROUGE-1 recall", fraction=0.03, pad=0.01)
        save(figure, smk.output.figure, smk.output.pdf)


main(snakemake)  # noqa: F821
