"""Write an unlearned model as a Hugging Face folder with a card, once it answers there as it does here."""

import torch

from lunar.edits import edit as edits
from lunar.edits import export
from lunar.files import atomic_folder, read_json, read_rows, write_text
from lunar.model.chat import Chat
from lunar.model.generate import generate
from lunar.model.load import load_model, load_tokenizer
from lunar.progress import script


def main(smk) -> None:
    name, experiment = smk.wildcards.method, smk.wildcards.experiment
    with script(f"{experiment} export {name}", smk.log[0]) as progress:
        torch.set_num_threads(smk.threads)
        rows, edit = read_rows(smk.input.questions), edits.load(smk.input.edit)
        chosen = read_json(smk.input.facts)["chosen"]
        chat = Chat(load_tokenizer(smk.input.model), smk.params.system_prompt, smk.params.prompt)
        with atomic_folder(smk.output.folder) as folder:
            model = load_model(smk.input.model, smk.params.dtype)
            edits.apply(model, edit)
            export.save(model, chat, folder)
            # One batch, since answers given in another may differ by rounding.
            asked = rows[: smk.params.generation["batch_size"]]
            answers = generate(model, chat, [row["question"] for row in asked], **smk.params.generation)
            del model  # the check loads it again
            checked = [row | answer.row() for row, answer in zip(asked, answers, strict=True)]
            export.verify(folder, chat, checked, smk.params.generation["max_new_tokens"], smk.threads)
            progress.say(f"reloaded with transformers alone: {len(checked)} answers are the same")
            main, attacks = (export.read_table(smk.input.get(name)) for name in ("main", "attacks"))
            text = export.card(
                smk.input.template,
                front=export.front(name, smk.params.base["name"], main),
                worst=export.worst_attack(attacks, name),
                adapter=None,
                **export.described(smk.params.settings, chosen, smk.params.base, edit, chat, rows[0]["question"]),
                method=name,
                experiment=experiment,
                finetuned=smk.params.finetuned,
                forgotten=smk.params.forgotten,
                metrics=export.measured(main, name),
                max_new_tokens=smk.params.generation["max_new_tokens"],
                folder=smk.output.folder,
                checked=len(checked),
                command=export.command(name, experiment, "model"),
            )
            write_text(folder / "README.md", text)


main(snakemake)  # noqa: F821
