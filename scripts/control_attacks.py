"""Run each attack where it has to succeed: against the model that was never edited."""

import torch

from lunar.attacks.base import Attack, Target, target_inputs
from lunar.attacks.running import made_of, run_all
from lunar.files import Row
from lunar.model.resume import Records, fingerprint
from lunar.progress import script


def main(smk) -> None:
    params = smk.params
    with script(f"{smk.wildcards.experiment} controls of attacks", smk.log[0]) as progress:
        torch.set_num_threads(smk.threads)
        asked = {name: params[name] for name in ("generation", "system_prompt", "dtype", "seed")}
        shared = fingerprint([smk.input.model], asked, params.retain, smk.threads)
        target = Target(smk.input.model, **asked, say=progress.say, progress=progress.bar)

        def run(name: str, attack: Attack) -> Row:
            nonlocal target
            progress.say(f"where {name} has to succeed")
            inputs = {given: smk.input[given] for given in params.attacks[name]["inputs"]}
            target = target.following(target_inputs(inputs, params.retain))
            return {"evidence": attack.control(target)}

        prints = {name: made_of(__file__, how, smk.input, shared) for name, how in params.attacks.items()}
        run_all(params.attacks, Records(smk.output.controls), prints, run, progress.say, params.needed)


main(snakemake)  # noqa: F821
