"""Try the settings of a method's grid on retained authors and choose the one with the best mean score."""

import importlib
import json

import torch

from lunar.data.rows import of_files
from lunar.files import read_rows, write_json, write_text
from lunar.methods.base import Job, job_inputs
from lunar.methods.rehearsal import Rehearsal, combinations, successive_halving
from lunar.model.chat import Chat
from lunar.plan.job_inputs import chosen_values
from lunar.progress import script


def main(smk) -> None:
    name, how = smk.wildcards.method, smk.params.rehearsal
    with script(f"{smk.wildcards.experiment} rehearse {name}", smk.log[0]) as progress:
        torch.set_num_threads(smk.threads)
        importlib.import_module(smk.params.module)
        entry = smk.params.settings | chosen_values(smk.params.choices, smk.input.choices)
        grid, pairs = combinations(entry.pop("grid")), how["authors"][: entry.get("rehearsals")]
        job = Job(
            smk.input.model,
            smk.params.dtype,
            smk.params.system_prompt,
            smk.params.base_prompt,
            smk.input.before or None,
            **job_inputs(smk.input),
            seed=smk.params.seed,
        )
        rows = of_files(read_rows(smk.input.files))
        rehearsal = Rehearsal(
            entry,
            job,
            Chat(job.chat.tokenizer, smk.params.system_prompt, smk.params.prompt),
            {
                "general": read_rows(smk.input.general),
                "refusals": read_rows(smk.input.refusals),
                "general_validation": read_rows(smk.input.general_validation)[: how["general"]],
            },
            {path: rows[path] for path in smk.params.retain},
            [row["name"] for row in read_rows(smk.input.names)],
            smk.params.copies,
            smk.params.leaked,
            {"batch_size": smk.params.batch_size, "gram_layers": smk.params.candidates},
            smk.params.generation,
            lambda text: progress.say(text, screen=False),
        )
        bar = progress.bar("settings", sum(successive_halving(len(grid), len(pairs))))
        table, best, mean = rehearsal.run(grid, pairs, bar)
        progress.say(f"chosen: {json.dumps(grid[best])}, mean score {mean:.1f} (best of {len(grid)})")
        write_text(smk.output.settings, table.to_csv(index=False))
        write_json(smk.output.chosen, {"chosen": grid[best], "score": mean})


main(snakemake)  # noqa: F821
