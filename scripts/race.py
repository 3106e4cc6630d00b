"""Optimisers against the closed form: one objective, the same cached rows, what each reaches in which time."""

import random

import pandas as pd
import torch

from lunar.edits.descent import Stopwatch, race, seconds_of_a_forward_step
from lunar.files import write_json, write_text
from lunar.methods.base import Job, job_inputs
from lunar.methods.redirection_gradient import Rowwise
from lunar.methods.settings import Redirecting
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
        redirection = Rowwise(Redirecting.of(smk.params.settings))
        caching = Stopwatch(job.model.device)
        with caching.running():
            layer, rows = next(iter(redirection.rows(job).items()))
        vector = redirection.vectors(job)[layer]
        runs, facts = race(redirection.problem(rows, vector), smk.params.race["solvers"], job.seed, progress.say)
        write_text(smk.output.runs, pd.DataFrame(runs).to_csv(index=False))
        # A step that caches nothing. The first prompt is a warm-up.
        how = smk.params.race["uncached"]
        prompts = [(row, moved) for part, moved in (("forget", True), ("retain", False)) for row in job.rows[part]]
        sample = random.Random(job.seed).choices(prompts, k=how["steps"] + 1)
        encoded = [job.chat.encode(row["question"]) for row, _ in sample]
        step = seconds_of_a_forward_step(job.model, layer, vector, encoded, [moved for _, moved in sample])
        extrapolated = {"prompts": len(prompts), "step_seconds": step, "seconds": step * len(prompts) * how["epochs"]}
        facts["seconds"]["caching"] = caching.seconds
        facts |= {"layer": layer, "threads": smk.threads, "uncached": how | extrapolated}
        write_json(smk.output.facts, facts)


main(snakemake)  # noqa: F821
