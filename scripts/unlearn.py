"""Make a method's edit: its recipe, with the settings that its entry states and those chosen in rehearsal."""

import importlib
import time

import pandas as pd
import torch
from safetensors.torch import load_file

from lunar import edits
from lunar.errors import LunarError
from lunar.files import read_json, read_rows, write_json, write_text
from lunar.methods import METHODS, Job, chosen_values, inputs_named
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
            rows={key: read_rows(path) for key, path in inputs_named("rows", smk.input).items()},
            statistics={key: load_file(path) for key, path in inputs_named("statistics", smk.input).items()},
            directions={key: load_file(path) for key, path in inputs_named("direction", smk.input).items()},
            chosen=read_json(smk.input.layers) if "layers" in smk.input.keys() else {},
            seed=smk.params.seed,
            say=progress.say,
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
