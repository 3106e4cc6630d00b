"""Serve requests to forget one after another, composed and jointly, take them back, and ask after each step."""

import importlib

import torch

from lunar.activations.statistics import collect
from lunar.data.rows import load, rename, shorten, stand_ins, with_refusals
from lunar.edits import edit as edits
from lunar.files import read_rows, write_rows
from lunar.methods.base import Job
from lunar.methods.renamed import told_apart
from lunar.methods.requests import Request, ask, serve, serve_from_rows, states
from lunar.model.chat import Chat
from lunar.plan.snakemake_files import chosen_values, job_inputs
from lunar.progress import script


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} requests in sequence by {smk.wildcards.method}", smk.log[0]) as progress:
        torch.set_num_threads(smk.threads)
        importlib.import_module(smk.params.module)
        settings = smk.params.settings | chosen_values(smk.params.choices, smk.input.choices)
        job = Job(
            smk.input.model,
            smk.params.dtype,
            smk.params.system_prompt,
            smk.params.base_prompt,
            **job_inputs(smk.input),
            say=lambda text: progress.say(text, screen=False),
        )

        def statistics(rows):
            return collect(
                job.model,
                [job.chat.encode(row["question"], row.get("answer") or None) for row in rows],
                pad_id=job.chat.tokenizer.pad_token_id,
                batch_size=smk.params.batch_size,
                gram_layers=smk.params.candidates if isinstance(settings["layers"], str) else settings["layers"],
            )

        def sums(own):
            originals = [*own["forget"], *own["short"]]
            kept, _ = told_apart(
                job.model, job.chat, own["renamed"], originals, smk.params.leaked, smk.params.generation
            )
            return {key: statistics(rows) for key, rows in (own | {"renamed": kept}).items()}

        names = stand_ins(smk.input.names)
        sets, requests = {}, {}
        files = [list(smk.input.forget), *([path] for path in smk.input.requests)]
        for title, paths in zip(smk.params.titles, files, strict=True):
            sets[title] = load(paths)
            own = {"forget": sets[title], "short": shorten(sets[title])}
            own["renamed"] = rename([*own["forget"], *own["short"]], names, smk.params.copies, smk.params.seed)
            if "declined" in settings["keep"]:
                own["declined"] = with_refusals(own["forget"], read_rows(smk.input.refusals), "knowledge")
            requests[title] = own
        sets["retain"] = load(smk.input.retain)
        if settings["recipe"] == "redirection":  # of which sums suffice
            summed = [Request(title, sums(own)) for title, own in requests.items()]
            found = serve(settings, job, summed, statistics(sets["retain"]))
        else:
            rest = {"general": read_rows(smk.input.answered), "retain": sets["retain"]}
            found = serve_from_rows(settings, job, list(requests.values()), rest)
        for way in ("composed", "joint"):
            last = edits.compose(found[way]) if way == "composed" else found[way][-1]
            edits.save(last, smk.output[way])
        sets |= {"unseen": read_rows(smk.input.unseen), "general": read_rows(smk.input.general)}
        chat = Chat(job.chat.tokenizer, smk.params.system_prompt, smk.params.prompt)
        rows, todo = [], states(smk.params.titles, found)
        bar = progress.bar("states", len(todo))
        for number, state in enumerate(todo, start=1):
            with edits.applied(job.model, state.edit):
                answers = ask(job.model, chat, sets, smk.params.generation)
            facts = {"way": state.way, "after": state.after}
            rows += [facts | {"forgotten": row["set"] in state.forgotten} | row for row in answers]
            bar(number)
        write_rows(smk.output.answers, rows)


main(snakemake)  # noqa: F821
