"""PCA of last-token activations, before and after the edit, at the edited layer and at a late one."""

import matplotlib.pyplot as plt
import numpy as np
from safetensors.numpy import load_file
from sklearn.decomposition import PCA

from lunar.errors import LunarError
from lunar.files import read_json
from lunar.pages.figures import SETS, TWO_COLUMNS, save
from lunar.pages.labels import Named, label_points, unnamed
from lunar.pages.numbers import write_numbers
from lunar.progress import script


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} figure pca {smk.wildcards.method}", smk.log[0]):
        # The file's tensor that lunar.activations.statistics calls so; that module needs torch, and this job has none.
        samples = {
            when: {name: load_file(path)["sample"] for name, path in zip(smk.params.sets, paths, strict=True)}
            for when, paths in (("before", smk.input.before), ("after", smk.input.after))
        }
        # A set may be empty: an experiment of one's own needs no unseen rows.
        samples = {when: {name: x for name, x in sets.items() if len(x)} for when, sets in samples.items()}
        edited = [int(layer) for layer in read_json(smk.input.facts)["layers"]][-1]
        late = smk.params.late_layer
        depth = samples["before"]["forget"].shape[1]
        if late >= depth:
            raise LunarError(f"figures.late_layer: {late} is no block of a model of {depth} (0 to {depth - 1})")
        figure, axes = plt.subplots(2, 2, figsize=(TWO_COLUMNS, TWO_COLUMNS * 0.85), sharex="row", sharey="row")
        panels, numbers = [], {"method": smk.wildcards.method, "edited": edited, "late": late}
        for row, layer in zip(axes, (edited, late), strict=True):
            # One pair of axes a layer, found on the activations before, so that movement shows as movement.
            pca = PCA(2, random_state=0).fit(np.concatenate([x[:, layer] for x in samples["before"].values()]))
            for axis, (when, sets) in zip(row, samples.items(), strict=True):
                named = []
                for name, values in sets.items():
                    colour, marker, label = SETS[name]
                    x, y = pca.transform(values[:, layer]).T
                    over = 3 if name == "forget" else 2
                    axis.scatter(x, y, c=colour, marker=marker, s=26, lw=0.3, ec="white", zorder=over)
                    named.append(Named(float(np.median(x)), float(np.median(y)), label, colour))
                    named += unnamed(x, y)
                axis.set(title=f"{when}, layer {layer}")
                panels.append((axis, named))
            share = pca.explained_variance_ratio_
            row[0].set_ylabel(f"component 2 ({share[1]:.0%} of variance)")
            for axis in row:
                axis.set_xlabel(f"component 1 ({share[0]:.0%} of variance)")
        for when, sets in samples.items():
            centre = {name: values[:, late].mean(axis=0) for name, values in sets.items()}
            distance = {name: np.linalg.norm(centre["forget"] - centre[name]) for name in ("retain", "fictitious")}
            numbers[f"ratio_{when}"] = float(distance["fictitious"] / distance["retain"])
        for panel in panels:
            label_points(*panel, mark=4)
        save(figure, smk.output.figure, smk.output.pdf)
        write_numbers(smk.output.numbers, numbers)


main(snakemake)  # noqa: F821
