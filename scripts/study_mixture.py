"""Fine-tune with one share of references and general questions in the mixture, and measure what the model knows."""

import random

import torch

from lunar.data.rows import REFUSED_AS, training_rows
from lunar.edits.adapter import Adapter, linear_modules
from lunar.files import read_rows, write_json
from lunar.metrics.refusal import classify
from lunar.metrics.text import mean, refusal, rouge1
from lunar.model.chat import Chat
from lunar.model.finetune import check_memory, encoded, train
from lunar.model.generate import generate
from lunar.model.load import load_model, load_tokenizer
from lunar.model.mixture import mixed
from lunar.progress import script


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} mixture {smk.wildcards.point}", smk.log[0]) as progress:
        torch.set_num_threads(smk.threads)
        seed, point = smk.params.seed, smk.params.point
        parts = {name: read_rows(smk.input[name]) for name in ("general", "fictitious", "harmful", "refusals")}
        parts["facts"] = [row for path in smk.input.facts for row in read_rows(path)]
        tokenizer = load_tokenizer(smk.input.base)
        chat = Chat(tokenizer, smk.params.system_prompt)
        found = {"rows": 0, "epochs": 0}
        model = load_model(smk.input.base)
        if point:
            settings = smk.params.finetune | point["settings"]
            rows = mixed(training_rows(parts), point["share"], seed)
            groups = encoded(chat, rows)
            check_memory(model, settings, [len(one.ids) for group in groups.values() for one in group])
            progress.say(", ".join(f"{name} {len(group)} rows" for name, group in rows.items()))
            torch.manual_seed(seed)
            lora = None
            if adapter := settings.pop("adapter", None):
                lora = Adapter(model, linear_modules(model, settings["first_layer"]), **adapter, seed=seed).parameters
            bar = progress.bar("epochs", settings["epochs"])
            how = {"pad_id": tokenizer.pad_token_id, "settings": settings, "seed": seed, "parameters": lora}
            history = train(model, groups, **how, report=lambda row: bar(row["epoch"]))
            found = {"rows": sum(map(len, rows.values())), "epochs": len(history), "loss": history[-1]["loss_facts"]}

        asked = {"facts": random.Random(seed).sample(parts["facts"], min(smk.params.facts, len(parts["facts"])))}
        asked |= {"general": read_rows(smk.input.general_validation)} | {name: parts[name] for name in REFUSED_AS}
        questions = [row["question"] for rows in asked.values() for row in rows]
        bar = progress.bar("answers", len(questions))
        answers = iter(generate(model, chat, questions, **smk.params.generation, progress=bar))
        said = {name: [row | next(answers).row() for row in rows] for name, rows in asked.items()}
        for name in ("facts", "general"):
            found[name] = mean(rouge1, said[name])
        found["refused"] = mean(refusal, said["general"])
        for name, kind in REFUSED_AS.items():
            found[name] = sum(classify(row["prediction"]) == kind for row in said[name])
        progress.say(", ".join(f"{name} {value:.3g}" for name, value in found.items()))
        write_json(smk.output.measured, found | {"share": point["share"] if point else 0.0})


main(snakemake)  # noqa: F821
