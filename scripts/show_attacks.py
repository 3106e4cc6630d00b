"""Two pages of attacks: the questions that they brought most back of, and the evidence that they happened."""

from itertools import product

from lunar.files import read_json, read_rows, write_text
from lunar.pages.evidence import evidence_page, examples
from lunar.pages.render import render
from lunar.progress import script


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} pages of attacks", smk.log[0]):
        methods, attacks = smk.params.methods, smk.params.attacks
        pairs = list(product(methods, attacks))
        attacked = {pair: read_rows(path) for pair, path in zip(pairs, smk.input.attacked, strict=True)}
        unattacked = {name: read_rows(path) for name, path in zip(methods, smk.input.unattacked, strict=True)}
        found = examples(attacked, unattacked, smk.params.edited, smk.params.shown)
        text = render(
            smk.input.examples,
            style=smk.input.style,
            title=f"{smk.wildcards.experiment}: what came back",
            methods=found,
        )
        write_text(smk.output.examples, text)
        evidence = {pair: read_json(path) for pair, path in zip(pairs, smk.input.proof, strict=True)}
        controls = {name: read_json(path) for name, path in zip(attacks, smk.input.controls, strict=True)}
        text = render(
            smk.input.evidence,
            style=smk.input.style,
            title=f"{smk.wildcards.experiment}: that the attacks happened",
            parts=evidence_page(controls, evidence),
        )
        write_text(smk.output.evidence, text)


main(snakemake)  # noqa: F821
