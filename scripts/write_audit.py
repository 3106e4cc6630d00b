"""An experiment's audit in one file to hand on, and its verdicts for the report's first page."""

from pathlib import Path

import pandas as pd

from lunar.files import read_json, write_json, write_text
from lunar.metrics.read import read_failures
from lunar.pages.audit import in_words, listed, method, provenance, rows
from lunar.pages.audit_schema import FORM, Audit
from lunar.pages.removal import COLUMNS
from lunar.pages.render import render
from lunar.progress import script


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} audit", smk.log[0]):
        params = smk.params
        removal = pd.read_csv(smk.input.removal[0]) if smk.input.removal else pd.DataFrame(columns=list(COLUMNS))
        tables = (pd.read_csv(smk.input.long), pd.read_csv(smk.input.attacks), removal)
        facts = {name: read_json(path) for name, path in params.facts_of.items()}
        failed = {name: read_failures(path) for name, path in zip(params.attacked, smk.input.attacked, strict=True)}
        found = {
            name: method(name, params.made[name], facts.get(name, {}), files, failed.get(name, {}), tables)
            for name, files in params.files_of.items()
        }
        audit = Audit(
            schema=FORM,
            experiment=smk.wildcards.experiment,
            seed=params.seed,
            settings=params.settings,
            provenance=provenance(Path(smk.input.requirements).read_text(encoding="utf-8"), Path(__file__).parent),
            data={split: rows(path) for split, path in zip(params.splits, smk.input.data, strict=True)},
            methods=found,
        )
        write_json(smk.output.json, audit.written())
        write_text(smk.output.verdicts, in_words(found))
        page = render(
            smk.input.template,
            style=smk.input.style,
            title=f"{smk.wildcards.experiment}: in words, and checksums",
            verdicts=[one.verdict for one in found.values() if one.verdict],
            files=listed(audit),
        )
        write_text(smk.output.html, page)


main(snakemake)  # noqa: F821
