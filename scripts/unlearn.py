"""Make a method's edit: its recipe, with the settings that its entry states and those chosen in rehearsal."""

import importlib
import time

import pandas as pd
import torch

from lunar.edits import edit as edits
from lunar.errors import LunarError
from lunar.files import write_json, write_text
from lunar.methods.base import METHODS, Job, job_inputs
from lunar.plan.job_inputs import chosen_values
from lunar.progress import script


def main(smk) -> None:
    name = smk.wildcards.method
    with script(f"{smk.wildcards.experiment} unlearn {name}", smk.log[0]) as progress:
        torch.set_num_threads(smk.threads)
        importlib.import_module(smk.params.module)
        chosen = chosen_values(smk.params.choices, smk.input.choices)
        settings = smk.params.settings | chosen
        job = Job(
            smk.input.model,
            smk.params.dtype,
            smk.params.system_prompt,
            smk.params.prompt,
            smk.input.before or None,
            **job_inputs(smk.input),
            seed=smk.params.seed,
            say=progress.say,
            lends_model="model" in METHODS[settings["recipe"]].needs,
        )
        started = time.perf_counter()
        try:
            outcome = METHODS[settings["recipe"]](settings).unlearn(job)
        except LunarError as error:
            raise LunarError(f"methods.{name}: {error}") from error
        seconds = time.perf_counter() - started
        edits.save(outcome.edit, smk.output.edit)
        write_json(smk.output.facts, outcome.facts | {"trained": outcome.trained, "chosen": chosen})
        # Times differ from run to run; what is compared byte by byte does not hold them.
        curve = pd.DataFrame(outcome.curve, columns=list(outcome.curve[0]) if outcome.curve else ["step", "seconds"])
        write_text(smk.output.curve, curve.to_csv(index=False))
        write_json(smk.output.cost, {"seconds": seconds})


main(snakemake)  # noqa: F821
