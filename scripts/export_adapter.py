"""Write an edit as a PEFT adapter with a card, once PEFT alone gives the edited model's logits and answers with it."""

import torch

from lunar.edits import edit as edits
from lunar.edits import export, peft_folder
from lunar.edits.low_rank import completed, low_rank
from lunar.files import atomic_folder, read_json, read_rows, write_text
from lunar.metrics.text import rouge1
from lunar.model.chat import Chat
from lunar.model.generate import prompt_ids
from lunar.model.load import load_model, load_tokenizer
from lunar.progress import script

ASKED = 8  # questions of each set whose logits are compared; those of all tokens are kept


def main(smk) -> None:
    name, experiment, base = smk.wildcards.method, smk.wildcards.experiment, smk.input.model
    with script(f"{experiment} export {name} as an adapter", smk.log[0]) as progress:
        torch.set_num_threads(smk.threads)
        edit = edits.load(smk.input.edit)
        adapter = low_rank(edit, smk.params.rank)
        chat = Chat(load_tokenizer(base), smk.params.system_prompt, smk.params.prompt)
        # In float32, whatever the experiment's: the adapter is compared with the edit, and other rounding left aside.
        model = load_model(base, "float32")
        adapter = completed(adapter, model)
        forget = read_rows(smk.input.questions)
        sets = {"forget": forget, "retain": read_rows(smk.input.kept)[: len(forget)]}
        asked = [row["question"] for each in sets.values() for row in each[:ASKED]]
        how = {
            "prompts": prompt_ids(chat, asked),
            "ends": chat.end_ids,
            "pad": chat.tokenizer.pad_token_id,
            "max_new_tokens": smk.params.generation["max_new_tokens"],
        }
        with atomic_folder(smk.output.folder) as folder:
            peft_folder.write(adapter, model, base, folder)
            truncation = {}
            if adapter.truncated:
                truncation = peft_folder.truncation(adapter, edit, model, chat, sets, smk.params.generation, rouge1)
                progress.say(f"truncated: {truncation['changed']} of {truncation['told']} answers change")
            del model  # the check loads it again
            changes = adapter.modules if adapter.truncated else edit
            found = peft_folder.proven(changes, base, folder, smk.threads, **how)
            same = len(asked) - len(found["differs"])
            progress.say(
                f"loaded with PEFT alone: a logit differs by {found['difference']:.1e} at most, of "
                f"{found['logit']:.3g}; {same} of {len(asked)} answers are the same"
            )
            main, attacks = (export.read_table(smk.input.get(table)) for table in ("main", "attacks"))
            chosen = read_json(smk.input.facts)["chosen"]
            described = export.described(
                smk.params.settings, chosen, smk.params.base, edit, chat, forget[0]["question"]
            )
            facts = peft_folder.facts(adapter, base, found, chat.end_ids) | truncation
            text = export.card(
                smk.input.template,
                **described | {"modules": peft_folder.kinds(adapter)},
                front=export.front(name, smk.params.base["name"], main, adapter_of=base),
                worst=export.worst_attack(attacks, name),
                adapter=facts,
                method=name,
                experiment=experiment,
                finetuned=smk.params.finetuned,
                forgotten=smk.params.forgotten,
                metrics=export.measured(main, name),
                max_new_tokens=smk.params.generation["max_new_tokens"],
                folder=smk.output.folder,
                checked=len(asked),
                command=export.command(name, experiment, "adapter", smk.params.rank),
            )
            write_text(folder / "README.md", text)


main(snakemake)  # noqa: F821
