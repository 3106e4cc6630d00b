"""Greedy answers of one method to the questions of one split."""

import torch

from lunar import edits
from lunar.chat import Chat
from lunar.files import read_rows, write_rows
from lunar.generate import generate
from lunar.models import load_model, load_tokenizer
from lunar.progress import script

KEPT = ("id", "question", "answer")


def main(smk) -> None:
    title = f"{smk.wildcards.experiment} {smk.wildcards.method}/{smk.wildcards.attack}/{smk.wildcards.split}"
    with script(title, smk.log[0]) as progress:
        torch.set_num_threads(smk.threads)
        rows = read_rows(smk.input.questions)
        model = load_model(smk.input.model, smk.params.dtype)
        if smk.input.edit:
            edits.apply(model, edits.load(smk.input.edit))
        predictions = generate(
            model,
            Chat(load_tokenizer(smk.input.model), smk.params.system_prompt, smk.params.prompt),
            [row["question"] for row in rows],
            **smk.params.generation,
            progress=progress.bar("answers", len(rows)),
        )
        answered = zip(rows, predictions, strict=True)
        write_rows(
            smk.output.rows,
            [{key: row.get(key, "") for key in KEPT} | {"prediction": prediction} for row, prediction in answered],
        )


main(snakemake)  # noqa: F821
