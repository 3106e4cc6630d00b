"""Answers with the redirection added at one layer while the prompt is processed."""

import torch

from lunar.activations.direction import direction
from lunar.activations.hooks import Steering
from lunar.activations.statistics import Statistics
from lunar.data.rows import answered
from lunar.files import read_rows, write_rows
from lunar.model.chat import Chat
from lunar.model.generate import generate
from lunar.model.load import load_model, load_tokenizer
from lunar.progress import script


def main(smk) -> None:
    layer = int(smk.wildcards.layer)
    with script(f"{smk.wildcards.experiment} steer at layer {layer}", smk.log[0]) as progress:
        torch.set_num_threads(smk.threads)
        rows = read_rows(smk.input.questions)
        how = smk.params.direction
        reference, forget = (Statistics.load(path) for path in (smk.input.reference, smk.input.forget))
        vectors = direction(reference, forget, how["site"], how["tokens"])
        model = load_model(smk.input.model, smk.params.dtype)
        with Steering(model, layer, smk.params.coefficient * vectors[layer]) as steering:
            predictions = generate(
                model,
                Chat(load_tokenizer(smk.input.model), smk.params.system_prompt),
                [row["question"] for row in rows],
                **smk.params.generation,
                before_batch=steering.arm,
                progress=progress.bar("answers", len(rows)),
            )
        progress.say(f"the hook fired {steering.fired} times in {steering.batches} batches", screen=False)
        given = zip(rows, predictions, strict=True)
        write_rows(smk.output.rows, [answered(row, said) | said.row() for row, said in given])


main(snakemake)  # noqa: F821
