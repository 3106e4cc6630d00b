"""Learning curves of the fine-tuned models."""

import matplotlib.pyplot as plt
import pandas as pd

from lunar.pages.figures import ONE_COLUMN, TWO_COLUMNS, save
from lunar.pages.numbers import write_numbers
from lunar.progress import script

GROUPS = {"loss_facts": ("facts", "#D55E00", "o"), "loss_refusals": ("refusals", "#4D4D4D", "v")}
GROUPS |= {"loss_general": ("general questions", "#0072B2", "s")}


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} figure finetune", smk.log[0]):
        models = smk.params.models
        size = (TWO_COLUMNS, ONE_COLUMN * 0.75)
        figure, axes = plt.subplots(1, len(models), figsize=size, sharey=True, squeeze=False)
        ends = []
        for axis, model, path in zip(axes[0], models, smk.input.history, strict=True):
            history = pd.read_csv(path)
            for column, (label, colour, marker) in GROUPS.items():
                if column in history:
                    axis.plot(history["epoch"], history[column], color=colour, marker=marker, ms=4, label=label)
            axis.axhline(smk.params.stop_at_loss, color="#777777", ls=":", label="early stop (facts)")
            axis.set(title=model, xlabel="epoch", yscale="log")
            axis.xaxis.get_major_locator().set_params(integer=True)
            ends.append(f"{model} ends after {len(history)} epochs at a loss of {history['loss_facts'].iloc[-1]:.3f}")
        axes[0][0].set_ylabel("mean loss of an answer token (nats)")
        axes[0][0].legend()
        save(figure, smk.output.figure, smk.output.pdf)
        write_numbers(smk.output.numbers, {"models": ", ".join(ends), "stop": smk.params.stop_at_loss})


main(snakemake)  # noqa: F821
