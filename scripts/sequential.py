"""Serve requests to forget one after another, composed and jointly, take them back, and ask after each step."""

import importlib

import torch

from lunar.activations.statistics import collect_rows
from lunar.data.forget_sets import forget_sets
from lunar.data.rows import of_files
from lunar.edits import edit as edits
from lunar.files import read_rows, write_rows
from lunar.methods.base import Job, job_inputs
from lunar.methods.requests import serve, serve_from_rows, states, summed, told
from lunar.model.chat import Chat
from lunar.plan.job_inputs import chosen_values
from lunar.progress import script


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} requests in sequence by {smk.wildcards.method}", smk.log[0]) as progress:
        torch.set_num_threads(smk.threads)
        importlib.import_module(smk.params.module)
        entry = smk.params.settings | chosen_values(smk.params.choices, smk.input.choices)
        job = Job(
            smk.input.model,
            smk.params.dtype,
            smk.params.system_prompt,
            smk.params.base_prompt,
            **job_inputs(smk.input),
            say=lambda text: progress.say(text, screen=False),
        )
        names = [row["name"] for row in read_rows(smk.input.names)]
        rows = of_files(read_rows(smk.input.files))
        refusals = read_rows(smk.input.refusals) if "declined" in entry["keep"] else None
        files = [*smk.params.requests, smk.params.retain]
        *requested, retained = [[row for path in paths for row in rows[path]] for paths in files]
        sets = dict(zip(smk.params.titles, requested, strict=True))
        requests = {
            title: {"forget": rows} | forget_sets(rows, names, smk.params.copies, smk.params.seed, refusals)
            for title, rows in sets.items()
        }
        sets["retain"] = retained
        if entry["recipe"] == "redirection":  # of which sums suffice
            layers = smk.params.candidates if isinstance(entry["layers"], str) else entry["layers"]
            how = {"batch_size": smk.params.batch_size, "gram_layers": layers}
            own = summed(job, requests, smk.params.leaked, smk.params.generation, **how)
            found = serve(entry, job, own, collect_rows(job.model, job.chat, sets["retain"], **how))
        else:
            rest = {"general": read_rows(smk.input.answered), "retain": sets["retain"]}
            found = serve_from_rows(entry, job, list(requests.values()), rest)
        edits.save(edits.compose(found["composed"]), smk.output.composed)
        edits.save(found["joint"][-1], smk.output.joint)
        sets |= {"unseen": read_rows(smk.input.unseen), "general": read_rows(smk.input.general)}
        chat = Chat(job.chat.tokenizer, smk.params.system_prompt, smk.params.prompt)
        todo = states(smk.params.titles, found)
        bar = progress.bar("states", len(todo))
        write_rows(smk.output.answers, told(job.model, chat, sets, todo, smk.params.generation, bar))


main(snakemake)  # noqa: F821
