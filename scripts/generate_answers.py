"""Greedy answers of one method to the questions of several splits, all in one go: they share batches and the model."""

import torch

from lunar.data.rows import answered
from lunar.edits import edit as edits
from lunar.files import read_rows, write_rows
from lunar.model.chat import Chat
from lunar.model.generate import generate, longer_answers
from lunar.model.load import load_model, load_tokenizer
from lunar.model.resume import Answers, fingerprint
from lunar.progress import script


def main(smk) -> None:
    wildcards = smk.wildcards
    title = f"{wildcards.experiment} answers of {wildcards.get('method', 'vanilla')}"
    with script(title, smk.log[0]) as progress:
        torch.set_num_threads(smk.threads)
        splits = [read_rows(path) for path in smk.input.questions]
        model = load_model(smk.input.model, smk.params.dtype)
        if smk.input.edit:
            edits.apply(model, edits.load(smk.input.edit))
        kept = Answers(
            f"{smk.output.rows[0]}.part", fingerprint([*smk.input, __file__], dict(smk.params.items()), smk.threads)
        )
        if kept.texts:
            progress.say(f"{len(kept.texts)} answers are there from the job that was interrupted")
        chat = Chat(load_tokenizer(smk.input.model), smk.params.system_prompt, smk.params.prompt)
        longer, limit = longer_answers(chat, [row for rows in splits for row in rows], smk.params.generation)
        if longer:
            progress.say(f"{longer} gold answers are longer than generation.max_new_tokens; {limit} is enough for them")
        predictions = iter(
            generate(
                model,
                chat,
                [row["question"] for rows in splits for row in rows],
                **smk.params.generation,
                kept=kept,
                progress=progress.bar("answers", sum(map(len, splits))),
            )
        )
        for path, rows in zip(smk.output.rows, splits, strict=True):
            write_rows(path, [answered(row, said := next(predictions)) | said.row() for row in rows])
        for flag, what in (("cut", "cut by generation.max_new_tokens"), ("thought", "relieved of a thought")):
            if count := sum(row.get(flag, False) for path in smk.output.rows for row in read_rows(path)):
                progress.say(f"{count} answers were {what}")
        kept.remove()


main(snakemake)  # noqa: F821
