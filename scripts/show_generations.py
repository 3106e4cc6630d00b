"""Every question with the gold answer and each method's answer, side by side."""

from itertools import product

from lunar.files import read_rows, write_text
from lunar.progress import script
from lunar.refusal import classify
from lunar.tables import render


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} generations", smk.log[0]):
        pairs = product(smk.params.compare, smk.params.splits)
        answers = {pair: read_rows(path) for pair, path in zip(pairs, smk.input.rows, strict=True)}
        splits = {}
        for split in smk.params.splits:
            columns = [answers[name, split] for name in smk.params.compare]
            splits[split] = [
                {
                    "question": row[0]["question"],
                    "answer": row[0]["answer"],
                    "predictions": [{"text": one["prediction"], "kind": classify(one["prediction"])} for one in row],
                }
                for row in zip(*columns, strict=True)
            ]
        page = render(
            smk.input.template,
            style=smk.input.style,
            title=f"{smk.wildcards.experiment}: answers side by side",
            splits=splits,
            methods=smk.params.compare,
        )
        write_text(smk.output.html, page)


main(snakemake)  # noqa: F821
