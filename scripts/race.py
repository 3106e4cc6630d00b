"""Optimisers against the closed form: one objective, the same cached rows, what each reaches in which time."""

import random

import pandas as pd
import torch

from lunar.edits.descent import Stopwatch, descend, seconds_of_a_forward_step, timed_closed_form
from lunar.files import write_json, write_text
from lunar.methods.base import Job
from lunar.methods.redirection_gradient import RedirectionGradient
from lunar.plan.snakemake_files import job_inputs
from lunar.progress import script


def main(smk) -> None:
    name = smk.wildcards.method
    with script(f"{smk.wildcards.experiment} race on {name}", smk.log[0]) as progress:
        torch.set_num_threads(smk.threads)
        job = Job(
            smk.input.model,
            smk.params.dtype,
            smk.params.system_prompt,
            smk.params.prompt,
            **job_inputs(smk.input),
            seed=smk.params.seed,
        )
        method = RedirectionGradient(smk.params.settings)
        caching = Stopwatch(job.model.device)
        with caching.running():
            layer, rows = next(iter(method.rows(job).items()))
        vector = method.vectors(job)[layer]
        given = method.problem(rows, vector)
        exact, seconds = timed_closed_form(given)
        optimum = given.objective(exact)
        runs = [
            {"solver": "closed form, solve only", "step": 1, "seconds": seconds["solve"], "objective": optimum},
            {"solver": "closed form", "step": 1, "seconds": sum(seconds.values()), "objective": optimum},
        ]
        for solver, settings in smk.params.race["solvers"].items():
            _, curve = descend(given, settings, job.seed)
            runs += [{"solver": solver} | row for row in curve]
            last = curve[-1]
            progress.say(f"{solver}: {last['objective'] / optimum:.4f} x the optimum after {last['seconds']:.2f} s")
        write_text(smk.output.runs, pd.DataFrame(runs).assign(optimum=optimum).to_csv(index=False))
        # A step that caches nothing. The first prompt is a warm-up.
        how = smk.params.race["uncached"]
        prompts = [(row, moved) for part, moved in (("forget", True), ("retain", False)) for row in job.rows[part]]
        sample = random.Random(job.seed).choices(prompts, k=how["steps"] + 1)
        encoded = [job.chat.encode(row["question"]) for row, _ in sample]
        step = seconds_of_a_forward_step(job.model, layer, vector, encoded, [moved for _, moved in sample])
        facts = {
            "layer": layer,
            "rows": len(given.inputs),
            "width": given.inputs.shape[1],
            "threads": smk.threads,
            "optimum": optimum,
            "unedited": given.objective(torch.zeros_like(exact)),
            "seconds": seconds | {"caching": caching.seconds},
            "uncached": how
            | {"prompts": len(prompts), "step_seconds": step, "seconds": step * len(prompts) * how["epochs"]},
        }
        write_json(smk.output.facts, facts)


main(snakemake)  # noqa: F821
