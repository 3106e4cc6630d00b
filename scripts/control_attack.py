"""Run an attack where it has to succeed: against the model that was never edited."""

import importlib

import torch

from lunar.attacks.base import ATTACKS, AttackFailed, Target, target_inputs
from lunar.files import write_json
from lunar.progress import script


def main(smk) -> None:
    name, params = smk.wildcards.attack, smk.params
    with script(f"{smk.wildcards.experiment} control of {name}", smk.log[0]) as progress:
        torch.set_num_threads(smk.threads)
        importlib.import_module(params.module)
        target = Target(
            smk.input.model,
            params.dtype,
            params.system_prompt,
            **target_inputs(smk.input, params.retain),
            generation=params.generation,
            seed=params.seed,
            say=progress.say,
            progress=progress.bar,
        )
        try:
            found = ATTACKS[params.attack["attack"]](params.attack).control(target)
        except AttackFailed as error:
            raise AttackFailed(f"attacks.{name}, where it has to succeed: {error}") from error
        write_json(smk.output.control, found)


main(snakemake)  # noqa: F821
