"""Solve the redirection exactly at the method's layers."""

import torch
from safetensors.torch import load_file

from lunar import edits
from lunar.errors import LunarError
from lunar.files import read_json, write_json
from lunar.progress import script
from lunar.solve import redirect
from lunar.steering import direction


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} solve {smk.wildcards.method}", smk.log[0]) as progress:
        torch.set_num_threads(smk.threads)
        chosen = read_json(smk.input.layers)
        wanted = smk.params.layers
        layers = {"best": [chosen["best"]], "top_k": chosen["top_k"]}[wanted] if isinstance(wanted, str) else wanted
        how = smk.params.direction
        statistics = {name: load_file(path) for name, path in smk.input.items() if name not in ("layers", "code")}
        vectors = direction(statistics[how["reference"]], statistics["forget"], how["site"], how["tokens"])
        edit, facts = {}, {}
        for layer in layers:
            vector = smk.params.coefficient * vectors[layer]
            try:
                edit[layer], facts[layer] = redirect(
                    statistics, layer, vector, smk.params.redirect, smk.params.keep, smk.params.ridge
                )
            except LunarError as error:
                raise LunarError(f"methods.{smk.wildcards.method}, layer {layer}: {error}") from error
            scores = ", ".join(f"{name} {value:.3f}" for name, value in facts[layer]["detector"].items())
            progress.say(f"layer {layer}: mean detector score of tokens: {scores}")
        edits.save(edit, smk.output.edit)
        write_json(smk.output.facts, {"layers": facts})


main(snakemake)  # noqa: F821
