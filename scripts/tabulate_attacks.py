"""What every attack got back from every method: table, page, the numbers of captions, and a text for the first page."""

from lunar.files import write_text
from lunar.metrics.read import read_attacks, read_failures
from lunar.metrics.samples import read_evaluated, read_evaluated_attacks
from lunar.pages.attacks import compared, numbers, page, summary, tabulate
from lunar.pages.numbers import write_numbers
from lunar.pages.render import render
from lunar.progress import script


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} table of attacks", smk.log[0]):
        methods, attacks, edited = smk.params.methods, smk.params.attacks, smk.params.edited
        files = list(zip(smk.input.metrics, smk.input.samples, strict=True))
        found = {}
        for method, alone, attacked in zip(methods, files[::2], files[1::2], strict=True):
            under = {"none": read_evaluated(*alone)} | read_evaluated_attacks(*attacked)
            found |= {(method, attack): under[attack] for attack in ("none", *attacks) if attack in under}
        records = {name: read_attacks(path, attacks) for name, path in zip(methods, smk.input.attacked, strict=True)}
        evidence = {(name, attack): one["evidence"] for name in methods for attack, one in records[name].items()}
        failures = {name: read_failures(path) for name, path in zip(methods, smk.input.attacked, strict=True)}
        table = tabulate(compared(found), evidence)
        write_text(smk.output.csv, table.to_csv(index=False, float_format="%.6g"))
        write_numbers(smk.output.numbers, numbers(table, edited))
        write_text(smk.output.summary, summary(smk.wildcards.experiment, table, edited, failures))
        text = render(
            smk.input.template,
            style=smk.input.style,
            title=f"{smk.wildcards.experiment}: attacks",
            methods=methods,
            sections=page(table),
        )
        write_text(smk.output.html, text)


main(snakemake)  # noqa: F821
