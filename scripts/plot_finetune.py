"""Learning curves of the fine-tuned models."""

import matplotlib.pyplot as plt
import pandas as pd

from lunar.figures import ONE_COLUMN, TWO_COLUMNS, save, write_numbers
from lunar.progress import script

GROUPS = {"loss_facts": ("facts", "#D55E00", "o"), "loss_refusals": ("refusals", "#4D4D4D", "v")}
GROUPS |= {"loss_general": ("general questions", "#0072B2", "s")}


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} figure finetune", smk.log[0]):
        figure, axes = plt.subplots(1, 2, figsize=(TWO_COLUMNS, ONE_COLUMN * 0.75), sharey=True)
        numbers = {"stop": smk.params.stop_at_loss}
        for axis, model, path in zip(axes, ("full", "retain_only"), smk.input.history, strict=True):
            history = pd.read_csv(path)
            for column, (label, colour, marker) in GROUPS.items():
                if column in history:
                    axis.plot(history["epoch"], history[column], color=colour, marker=marker, ms=4, label=label)
            axis.axhline(smk.params.stop_at_loss, color="#777777", ls=":", label="early stop (facts)")
            axis.set(title=model, xlabel="epoch", yscale="log")
            axis.xaxis.get_major_locator().set_params(integer=True)
            numbers |= {f"epochs_{model}": len(history), f"loss_{model}": f"{history['loss_facts'].iloc[-1]:.3f}"}
        axes[0].set_ylabel("mean loss of an answer token (nats)")
        axes[0].legend()
        save(figure, smk.output.figure)
        write_numbers(smk.output.numbers, numbers)


main(snakemake)  # noqa: F821
