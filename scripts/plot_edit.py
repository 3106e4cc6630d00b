"""Singular values of the edits beside the original weight's, and the mean detector score of each kind of token."""

import matplotlib.pyplot as plt
import numpy as np
import torch

from lunar.edits import edit as edits
from lunar.files import read_json
from lunar.model.load import down_proj, load_model
from lunar.pages.figures import GREY, SETS, TWO_COLUMNS, kind_style, save
from lunar.pages.kinds import kinds
from lunar.pages.labels import Named, label_points, unnamed
from lunar.pages.numbers import write_numbers
from lunar.progress import script


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} figure edit", smk.log[0]):
        paths = iter(smk.input.edits)
        loaded = {name: (edits.load(next(paths)), read_json(next(paths))["layers"]) for name in smk.params.methods}
        model = load_model(smk.input.model, device="cpu")
        figure, (left, right) = plt.subplots(1, 2, figsize=(TWO_COLUMNS, 3.1))
        numbers, named, kind_of = {}, [], kinds(smk.params.recipes)
        first = next(iter(loaded))
        for layer in dict.fromkeys(map(edits.block_of, loaded[first][0])):
            original = torch.linalg.svdvals(down_proj(model, layer).weight.detach().float())
            left.plot(range(1, len(original) + 1), original, color=GREY)
            named.append(Named(1, float(original[0]), f"original weight, layer {layer}", GREY))
            at = np.unique(np.geomspace(2, len(original), 40).astype(int))  # no name lies on the line
            named += unnamed(at, original[at - 1])
            numbers |= {"layer": layer, "largest_original": float(original[0])}
        for number, (name, (edit, _)) in enumerate(loaded.items()):
            for module, factors in edit.items():
                if not module.endswith("down_proj"):
                    continue  # the weight of a norm behind it
                values = factors.singular_values()
                kind = kind_of[name]
                left.plot([1.6**number] * len(values), values, ls="none", ms=6, **kind_style(kind))
                label = f"{name}, layer {edits.block_of(module)}"
                named.append(Named(1.6**number, float(values[0]), label, kind.colour))
                named += unnamed([1.6**number] * (len(values) - 1), values[1:])
                numbers.setdefault("singular", float(values[0]))
                numbers.setdefault("rank", len(values))
        left.set(xscale="log", title="Singular values", xlabel="index", ylabel="singular value", ylim=(0, None))
        layer, facts = next(iter(loaded[first][1].items()))
        scores = facts["detector"]
        right.barh(range(len(scores)), list(scores.values()), color=SETS["retain"][0])
        right.axvline(0, color=GREY, lw=0.8)
        right.set_yticks(range(len(scores)), list(scores))
        right.invert_yaxis()
        right.set(title="Mean detector score", xlabel=f"v . h of {first}, layer {layer}\n(1: moved, 0: left alone)")
        label_points(left, named)
        save(figure, smk.output.figure, smk.output.pdf)
        numbers |= {"method": first, "moved": scores["forget redirected"], "kept": scores.get("retain answer", 0.0)}
        write_numbers(smk.output.numbers, numbers)


main(snakemake)  # noqa: F821
