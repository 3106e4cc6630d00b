"""One batched pass over a set: means, Gram sums and a sample of activations."""

import torch

from lunar.activations.statistics import collect_rows
from lunar.edits import edit as edits
from lunar.errors import LunarError
from lunar.files import read_rows
from lunar.model.chat import Chat
from lunar.model.load import blocks, load_model, load_tokenizer
from lunar.progress import script


def main(smk) -> None:
    title = f"{smk.wildcards.experiment} {smk.wildcards.method} activations of {smk.wildcards.part}"
    with script(title, smk.log[0]) as progress:
        torch.set_num_threads(smk.threads)
        chat = Chat(load_tokenizer(smk.input.model), smk.params.system_prompt, smk.params.prompt)
        model = load_model(smk.input.model, smk.params.dtype)
        depth = len(blocks(model))
        for layer in smk.params.gram_layers:
            if layer >= depth:
                raise LunarError(f"layers.candidates: {layer} is no block of a model of {depth} (0 to {depth - 1})")
        if smk.input.edit:
            edits.apply(model, edits.load(smk.input.edit))
        rows = read_rows(smk.input.rows)
        statistics = collect_rows(
            model,
            chat,
            rows,
            batch_size=smk.params.batch_size,
            gram_layers=smk.params.gram_layers,
            sample=smk.params.sample,
            progress=progress.bar("prompts", len(rows)),
        )
        statistics.save(smk.output.statistics)


main(snakemake)  # noqa: F821
