"""How likely one method finds each token of right and wrong answers, on all splits that have any."""

import torch

from lunar.edits import edit as edits
from lunar.files import read_rows, write_rows
from lunar.metrics.read import gold
from lunar.model.chat import Chat
from lunar.model.likelihood import score_rows
from lunar.model.load import load_model, load_tokenizer
from lunar.progress import script


def main(smk) -> None:
    title = f"{smk.wildcards.experiment} likelihood {smk.wildcards.method}"
    with script(title, smk.log[0]) as progress:
        torch.set_num_threads(smk.threads)
        model = load_model(smk.input.model, smk.params.dtype)
        if smk.input.edit:
            edits.apply(model, edits.load(smk.input.edit))
        chat = Chat(load_tokenizer(smk.input.model), smk.params.system_prompt, smk.params.prompt)
        scored = []
        for split, path in zip(smk.params.splits, smk.input.data, strict=True):
            rows = gold(read_rows(path))
            bar = progress.bar(split, len(rows))
            # Membership inference, which reads the perturbed answers, is asked of the forget set alone.
            own = split == "forget"
            scores = score_rows(model, chat, rows, batch_size=smk.params.batch_size, perturbed=own, progress=bar)
            scored += [{"split": split} | row for row in scores]
        write_rows(smk.output.rows, scored)


main(snakemake)  # noqa: F821
