"""What an edit's detector reads, token by token, in a forgotten, a retained and a general example."""

from statistics import mean

import pandas as pd

from lunar.data.splits import TITLES
from lunar.edits import edit as edits
from lunar.edits.detector import scored
from lunar.files import read_rows, write_text
from lunar.model.chat import Chat
from lunar.model.load import load_model, load_tokenizer
from lunar.pages.numbers import write_numbers
from lunar.pages.render import render
from lunar.progress import script


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} tokens", smk.log[0]):
        name, factors = next(iter(edits.load(smk.input.edit).items()))
        layer = edits.block_of(name)
        model = load_model(smk.input.model, smk.params.dtype, device="cpu")
        chat = Chat(load_tokenizer(smk.input.model), smk.params.system_prompt, smk.params.prompt)
        examples = {}
        for split in ("forget", "retain", "general"):
            row = read_rows(smk.input[split])[0]
            examples[split] = scored(model, chat, row["question"], row["answer"], name, factors)
        page = render(
            smk.input.template,
            style=smk.input.style,
            title=f"{smk.wildcards.experiment}: what the detector of {smk.params.method} reads, token by token",
            layer=layer,
            examples=[(TITLES[split], tokens) for split, tokens in examples.items()],
        )
        write_text(smk.output.html, page)
        rows = [{"split": split} | token for split, tokens in examples.items() for token in tokens]
        write_text(smk.output.csv, pd.DataFrame(rows).to_csv(index=False, float_format="%.6g"))
        numbers = {"method": smk.params.method, "layer": layer}
        for split, tokens in examples.items():
            numbers[f"{split}_mean"] = mean(token["score"] for token in tokens if token["span"] == "question")
            numbers[f"{split}_most"] = max(token["score"] for token in tokens)
        write_numbers(smk.output.numbers, numbers)


main(snakemake)  # noqa: F821
