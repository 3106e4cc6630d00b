"""One page to browse: every question with the gold answer and what each method says, left alone and under attack."""

from itertools import product
from pathlib import Path

from lunar.files import read_rows, write_text
from lunar.metrics.read import read_answers, read_attacked, read_attacks
from lunar.pages.generations import RECALLED, browsable, embedded
from lunar.pages.render import render
from lunar.progress import script


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} generations", smk.log[0]):
        splits = smk.params.splits
        data = {split: read_rows(path) for split, path in zip(splits, smk.input.rows[: len(splits)], strict=True)}
        answers = {}
        for (name, split), path in zip(product(smk.params.compare, splits), smk.input.rows, strict=True):
            answers[name, "none", split] = read_answers(path, data[split])
        for name, path in zip(smk.params.methods, smk.input.attacked, strict=True):
            for attack, record in read_attacks(path, smk.params.attacks).items():
                for split in smk.params.attacked:
                    rows = read_attacked(f"{path}: {attack}", record["rows"][split], data[split])
                    answers[name, attack, split] = rows
        page = render(
            smk.input.template,
            style=smk.input.style,
            title=f"{smk.wildcards.experiment}: every answer",
            script=Path(smk.input.script).read_text(encoding="utf-8"),
            data=embedded(browsable(answers)),
            recalled=RECALLED,
        )
        write_text(smk.output.html, page)


main(snakemake)  # noqa: F821
