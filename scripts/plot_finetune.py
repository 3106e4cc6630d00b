"""Learning curves of the fine-tuned models."""

import matplotlib.pyplot as plt
import pandas as pd

from lunar.pages.figures import GREY, TWO_COLUMNS, save
from lunar.pages.labels import Named, label_ends
from lunar.pages.numbers import write_numbers
from lunar.progress import script

GROUPS = {"loss_facts": ("facts", "#D55E00", "o"), "loss_refusals": ("refusals", "#4D4D4D", "v")}
GROUPS |= {"loss_general": ("general questions", "#0072B2", "s")}


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} figure finetune", smk.log[0]):
        models = smk.params.models
        size = (TWO_COLUMNS, 2.8)
        figure, axes = plt.subplots(1, len(models), figsize=size, sharey=True, squeeze=False)
        ends = []
        for axis, model, path in zip(axes[0], models, smk.input.history, strict=True):
            history = pd.read_csv(path)
            named = []
            for column, (label, colour, marker) in GROUPS.items():
                if column in history:
                    axis.plot(history["epoch"], history[column], color=colour, marker=marker, ms=4)
                    named.append(Named(history["epoch"].iloc[-1], history[column].iloc[-1], label, colour))
            axis.axhline(smk.params.stop_at_loss, color=GREY, ls=":")
            named.append(Named(history["epoch"].iloc[-1], smk.params.stop_at_loss, "early stop (facts)", GREY))
            axis.set(title=model, xlabel="epoch", yscale="log")
            axis.xaxis.get_major_locator().set_params(integer=True)
            label_ends(axis, named)
            ends.append(f"{model} ends after {len(history)} epochs at a loss of {history['loss_facts'].iloc[-1]:.3f}")
        axes[0][0].set_ylabel("loss of an answer token (nats)")
        save(figure, smk.output.figure, smk.output.pdf)
        write_numbers(smk.output.numbers, {"models": ", ".join(ends), "stop": smk.params.stop_at_loss})


main(snakemake)  # noqa: F821
