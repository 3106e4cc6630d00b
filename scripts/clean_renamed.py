"""Keep the renamed copies that are about somebody else to the model too; store the others beside them."""

import torch

from lunar.files import read_rows, write_rows
from lunar.methods.renamed import told_apart
from lunar.model.chat import Chat
from lunar.model.load import load_model, load_tokenizer
from lunar.progress import script


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} renamed", smk.log[0]) as progress:
        torch.set_num_threads(smk.threads)
        copies = read_rows(smk.input.renamed)
        kept, dropped = told_apart(
            load_model(smk.input.model, smk.params.dtype),
            Chat(load_tokenizer(smk.input.model), smk.params.system_prompt),
            copies,
            read_rows(smk.input.forget) + read_rows(smk.input.short),
            smk.params.leaked,
            smk.params.generation,
            progress=progress.bar("answers", len(copies)),
        )
        progress.say(f"{len(kept)} of {len(copies)} renamed questions are about somebody else to the model")
        write_rows(smk.output.kept, kept)
        write_rows(smk.output.dropped, dropped)


main(snakemake)  # noqa: F821
