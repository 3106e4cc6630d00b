"""Write an edit as a PEFT adapter with a card, once PEFT alone gives the edited model's logits and answers with it."""

import torch

from lunar.edits import edit as edits
from lunar.edits import export, peft_folder
from lunar.edits.prove_adapter import write_proven
from lunar.files import atomic_folder, read_json, read_rows, write_text
from lunar.metrics.text import rouge1
from lunar.model.chat import Chat
from lunar.model.load import load_tokenizer
from lunar.progress import script


def main(smk) -> None:
    name, experiment, base = smk.wildcards.method, smk.wildcards.experiment, smk.input.model
    generation, rank = smk.params.generation, smk.params.rank
    with script(f"{experiment} export {name} as an adapter", smk.log[0]) as progress:
        torch.set_num_threads(smk.threads)
        edit = edits.load(smk.input.edit)
        chat = Chat(load_tokenizer(base), smk.params.system_prompt, smk.params.prompt)
        forget = read_rows(smk.input.questions)
        sets = {"forget": forget, "retain": read_rows(smk.input.kept)[: len(forget)]}
        with atomic_folder(smk.output.folder) as folder:
            how = {"rank": rank, "generation": generation, "threads": smk.threads, "recall": rouge1}
            adapter, facts = write_proven(edit, base, chat, sets, folder, say=progress.say, **how)
            table, attacks = (export.read_table(smk.input.get(each)) for each in ("main", "attacks"))
            chosen, example = read_json(smk.input.facts)["chosen"], forget[0]["question"]
            described = export.described(smk.params.settings, chosen, smk.params.base, edit, chat, example)
            text = export.card(
                smk.input.template,
                **described | {"modules": peft_folder.kinds(adapter)},
                front=export.front(name, smk.params.base["name"], table, adapter_of=base),
                worst=export.worst_attack(attacks, name),
                adapter=facts,
                method=name,
                experiment=experiment,
                finetuned=smk.params.finetuned,
                forgotten=smk.params.forgotten,
                metrics=export.measured(table, name),
                max_new_tokens=generation["max_new_tokens"],
                folder=smk.output.folder,
                checked=facts["asked"],
                command=export.command(name, experiment, "adapter", rank),
            )
            write_text(folder / "README.md", text)


main(snakemake)  # noqa: F821
