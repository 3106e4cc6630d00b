"""Attack one method's model and write what it then answers, with the evidence that the attack happened."""

import importlib

import pandas as pd
import torch

from lunar.attacks.base import ATTACKS, AttackFailed, Target, changed, rouge1, target_inputs
from lunar.edits import edit as edits
from lunar.files import read_json, read_rows, write_json, write_rows, write_text
from lunar.progress import script


def main(smk) -> None:
    method, name, params = smk.wildcards.method, smk.wildcards.attack, smk.params
    with script(f"{smk.wildcards.experiment} {method} under {name}", smk.log[0]) as progress:
        torch.set_num_threads(smk.threads)
        importlib.import_module(params.module)
        inputs = target_inputs(smk.input, params.retain)
        asked = {part: {row["id"] for row in inputs["rows"][part]} for part in ("forget", "retain")}
        unattacked = {
            part: [row for row in read_rows(path) if row["id"] in asked[part]]
            for part, path in zip(asked, smk.input.unattacked, strict=True)
        }
        target = Target(
            smk.input.model,
            params.dtype,
            params.system_prompt,
            params.prompt,
            edit=edits.load(smk.input.edit) if smk.input.edit else {},
            method=method,
            settings=params.settings | (read_json(smk.input.facts)["chosen"] if smk.input.facts else {}),
            **inputs,
            unattacked=unattacked,
            generation=params.generation,
            seed=params.seed,
            say=progress.say,
            progress=progress.bar,
        )
        try:
            found = ATTACKS[params.attack["attack"]](params.attack).run(target)
        except AttackFailed as error:
            raise AttackFailed(f"attacks.{name} on {method}: {error}") from error
        cut = sum(row.get("cut", False) for part in asked for row in found.rows[part])
        progress.say(f"{cut} answers were cut by generation.max_new_tokens", screen=bool(cut))
        differing = changed(found.rows, unattacked)
        for part, path in zip(asked, smk.output.rows, strict=True):
            write_rows(path, found.rows[part])
        write_json(smk.output.evidence, found.evidence | {"changed": differing})
        columns = list(found.curve[0]) if found.curve else ["x", "forget"]
        write_text(smk.output.curve, pd.DataFrame(found.curve, columns=columns).to_csv(index=False))
        before, after = rouge1(unattacked["forget"]), rouge1(found.rows["forget"])
        share = f"{differing['forget']:.0%} of answers changed"
        progress.say(f"forget ROUGE-1 {before:.3f} before, {after:.3f} under attack; {share}")


main(snakemake)  # noqa: F821
