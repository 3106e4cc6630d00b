"""Two pages of attacks: the questions that they brought most back of, and the evidence that they happened."""

from lunar.files import read_rows, write_text
from lunar.metrics.read import read_attacks, read_failures
from lunar.pages.evidence import evidence_page, examples
from lunar.pages.render import render
from lunar.progress import script


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} pages of attacks", smk.log[0]):
        methods, attacks = smk.params.methods, smk.params.attacks
        records = {name: read_attacks(path, attacks) for name, path in zip(methods, smk.input.attacked, strict=True)}
        pairs = {(name, attack): records[name][attack] for name in methods for attack in records[name]}
        attacked = {pair: record["rows"]["forget"] for pair, record in pairs.items()}
        unattacked = {name: read_rows(path) for name, path in zip(methods, smk.input.unattacked, strict=True)}
        found = examples(attacked, unattacked, smk.params.edited, smk.params.shown)
        text = render(
            smk.input.examples,
            style=smk.input.style,
            title=f"{smk.wildcards.experiment}: what came back",
            methods=found,
        )
        write_text(smk.output.examples, text)
        evidence = {pair: record["evidence"] for pair, record in pairs.items()}
        files = {"the control": smk.input.controls, **dict(zip(methods, smk.input.attacked, strict=True))}
        failures = [(name, *each) for name, path in files.items() for each in read_failures(path).items()]
        controls = {name: found["evidence"] for name, found in read_attacks(smk.input.controls, attacks).items()}
        text = render(
            smk.input.evidence,
            style=smk.input.style,
            title=f"{smk.wildcards.experiment}: that the attacks happened",
            parts=evidence_page(controls, evidence),
            failures=failures,
        )
        write_text(smk.output.evidence, text)


main(snakemake)  # noqa: F821
