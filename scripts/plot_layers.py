"""Refusals and score of each candidate layer under steering."""

import matplotlib.pyplot as plt

from lunar.files import read_json
from lunar.pages.figures import GREY, SMALL, TWO_COLUMNS, note, save, words
from lunar.pages.numbers import write_numbers
from lunar.progress import script

KINDS = {
    "refusal_knowledge": ("lack of knowledge", "#0072B2", ""),
    "refusal_unethical": ("unethical (hatched)", "#BBBBBB", "///"),
}


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} figure layers", smk.log[0]):
        chosen = read_json(smk.input.layers)
        rows = {int(layer): row for layer, row in chosen["layers"].items()}
        layers = sorted(rows)
        figure, (top, bottom) = plt.subplots(1, 2, figsize=(TWO_COLUMNS, 2.9))
        floor = [0.0] * len(layers)
        positions = range(len(layers))
        for key, (_, colour, hatch) in KINDS.items():
            values = [rows[layer][key] for layer in layers]
            top.bar(positions, values, bottom=floor, color=colour, hatch=hatch, edgecolor="white")
            floor = [a + b for a, b in zip(floor, values, strict=True)]
        if not any(floor):
            note(top, "no answer is a refusal")
        top.set(title="Refusals under steering", ylabel="share of forget questions", xlabel="layer", ylim=(0, 1.3))
        words(top, [(f"refused: {label}", GREY if hatch else colour) for label, colour, hatch in KINDS.values()])
        scores = [rows[layer]["score"] for layer in layers]
        bottom.plot(positions, scores, color=GREY, marker="o", ms=4, zorder=2)
        for layer in chosen["top_k"]:
            best = layer == chosen["best"]
            where = (layers.index(layer), rows[layer]["score"])
            bottom.plot(*where, marker="o", ms=10, mfc="none", mew=1.6, color="#D55E00" if best else "#E69F00")
            bottom.annotate("best" if best else "top k", where, (0, 9), textcoords="offset points", ha="center")
        bottom.set(title="Layer score", xlabel="layer")
        bottom.set_ylabel("cos to knowledge - cos to unethical", fontsize=SMALL)
        bottom.margins(x=0.15, y=0.25)
        for axis in (top, bottom):
            axis.set_xticks(list(positions), [str(layer) for layer in layers])
        save(figure, smk.output.figure, smk.output.pdf)
        best = rows[chosen["best"]]
        write_numbers(
            smk.output.numbers,
            {
                "best": chosen["best"],
                "top_k": ", ".join(map(str, chosen["top_k"])),
                "score": best["score"],
                "refusals": f"{100 * (best['refusal_knowledge'] + best['refusal_unethical']):.0f}%",
                "coefficient": smk.params.coefficient,
            },
        )


main(snakemake)  # noqa: F821
