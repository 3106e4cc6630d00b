"""Scores of the settings tried in rehearsal, and how well the paper's layer score foretells the best layer."""

import ast

import matplotlib.pyplot as plt
import pandas as pd
from scipy.stats import spearmanr

from lunar.files import read_json
from lunar.pages.figures import ONE_COLUMN, TWO_COLUMNS, note, save
from lunar.pages.numbers import write_numbers
from lunar.progress import script

LINES = [
    ("#0072B2", "o", "-"),
    ("#D55E00", "s", "--"),
    ("#009E73", "^", ":"),
    ("#CC79A7", "D", "-."),
    ("#4D4D4D", "v", "-"),
]


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} figure rehearsal", smk.log[0]):
        paths = dict(zip(smk.params.methods, smk.input.settings, strict=True))
        figure, axes = plt.subplots(1, len(paths) + 1, figsize=(TWO_COLUMNS, ONE_COLUMN * 0.85))
        numbers: dict = {}
        for axis, (name, path) in zip(axes, paths.items(), strict=False):
            table = pd.read_csv(path)
            table["layers"] = table["layers"].map(lambda text: ", ".join(map(str, ast.literal_eval(text))))
            others = [key for key in table.columns if key in smk.params.grid_keys and key != "layers"]
            means = table.groupby(["layers", *others], sort=False)["score"].agg(["mean", "count"]).reset_index()
            means = means.rename(columns={"mean": "score", "count": "pairs"})
            for (values, rows), (colour, marker, line) in zip(means.groupby(others, sort=False), LINES, strict=False):
                label = ", ".join(f"{key} {value}" for key, value in zip(others, values, strict=True))
                axis.plot(rows["layers"], rows["score"], color=colour, marker=marker, ls=line, ms=4, label=label)
            axis.set(
                title=f"{name}, rehearsed",
                xlabel="layer" if name == smk.params.methods[0] else "layers",
                ylim=(0, None),
            )
            axis.set(ylabel="score (0: best)" if axis is axes[0] else "")
            axis.legend(fontsize=6)
            if not numbers:
                best = means.loc[means[means["pairs"] == means["pairs"].max()]["score"].idxmin()]
                numbers = {"method": name, "tried": len(means), "best": best["layers"], "score": f"{best['score']:.1f}"}
                by_layer = means.groupby("layers")["score"].min()
        chosen = read_json(smk.input.layers)
        shared = [layer for layer in chosen["layers"] if layer in by_layer.index]
        paper, ours = [chosen["layers"][layer]["score"] for layer in shared], [by_layer[layer] for layer in shared]
        axes[-1].plot(paper, ours, ls="none", marker="o", color="#4D4D4D")
        for layer, x, y in zip(shared, paper, ours, strict=True):
            axes[-1].annotate(layer, (x, y), (4, 3), textcoords="offset points")
        if not shared:
            note(axes[-1], "no layer was tried alone")
        axes[-1].margins(x=0.2, y=0.15)
        axes[-1].locator_params(axis="x", nbins=4)
        axes[-1].set(title="Does the paper's score tell?", xlabel="layer score under steering", ylim=(0, None))
        save(figure, smk.output.figure, smk.output.pdf)
        numbers |= {
            "paper": chosen["best"],
            "layers": len(shared),
            "paper_score": f"{by_layer.get(str(chosen['best']), float('nan')):.1f}",
        }
        # Scores of which a high one is good against scores of which a low one is.
        numbers["rank"] = f"{-spearmanr(paper, ours).statistic:.2f}" if len(shared) > 2 else "not defined"
        write_numbers(smk.output.numbers, numbers)


main(snakemake)  # noqa: F821
