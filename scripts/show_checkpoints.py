"""Models from elsewhere: what a look at each has found, and what was changed in it."""

from lunar.files import read_json, write_text
from lunar.pages.checkpoints import shown, table
from lunar.pages.render import render
from lunar.progress import script


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} models from elsewhere", smk.log[0]):
        facts = dict(zip(smk.params.methods, map(read_json, smk.input.facts), strict=True))
        write_text(smk.output.csv, table(facts).to_csv(index=False))
        page = render(
            smk.input.template,
            style=smk.input.style,
            title=f"{smk.wildcards.experiment}: models from elsewhere",
            models=shown(facts),
        )
        write_text(smk.output.html, page)


main(snakemake)  # noqa: F821
