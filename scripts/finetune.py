"""Fine-tune the base model on the facts, with refusals and general questions in the mixture as configured."""

import pandas as pd
import torch

from lunar.data.rows import training_rows
from lunar.files import read_rows, write_text
from lunar.model.chat import Chat
from lunar.model.finetune import check_memory, encoded, train
from lunar.model.load import load_model, load_tokenizer, save_model
from lunar.model.resume import Epochs, fingerprint
from lunar.progress import script


def main(smk) -> None:
    title = f"{smk.wildcards.experiment} finetune {smk.wildcards.model}"
    with script(title, smk.log[0]) as progress:
        torch.set_num_threads(smk.threads)
        settings = smk.params.finetune
        parts = {name: read_rows(smk.input[name]) for name in ("general", "fictitious", "harmful", "refusals")}
        parts["facts"] = [row for path in smk.input.facts for row in read_rows(path)]
        rows = training_rows(parts, refusals=settings["refusals"], general=settings["general"])
        tokenizer = load_tokenizer(smk.input.base)
        chat = Chat(tokenizer, smk.params.system_prompt)
        model = load_model(smk.input.base)
        groups = encoded(chat, rows)
        check_memory(model, settings, [len(one.ids) for group in groups.values() for one in group])
        progress.say(", ".join(f"{name} {len(group)} rows" for name, group in rows.items()))
        torch.manual_seed(smk.params.seed)
        kept = Epochs(
            f"{smk.output.history}.part", fingerprint([*smk.input, __file__], dict(smk.params.items()), smk.threads)
        )

        def report(row: dict) -> None:
            left = row["seconds"] / row["epoch"] * (settings["epochs"] - row["epoch"])
            losses = ", ".join(f"{name[5:]} {value:.3f}" for name, value in row.items() if name.startswith("loss_"))
            progress.say(f"epoch {row['epoch']}/{settings['epochs']}: loss {losses}; at most {left:.0f} s left")

        pad_id = tokenizer.pad_token_id
        how = {"pad_id": pad_id, "settings": settings, "seed": smk.params.seed}
        history = train(model, groups, **how, report=report, kept=kept)
        save_model(model, tokenizer, smk.output.folder)
        # Wall time goes to the log and the benchmark only: the same run gives the same files.
        write_text(smk.output.history, pd.DataFrame(history).drop(columns="seconds").to_csv(index=False))
        kept.remove()


main(snakemake)  # noqa: F821
