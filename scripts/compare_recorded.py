"""This run's headline numbers beside the recorded ones: table, page, and the line that sums them up."""

import shutil
from pathlib import Path

import pandas as pd

from lunar.files import write_json, write_text
from lunar.pages.numbers import write_numbers
from lunar.pages.recorded_run import differences, facts, read_run
from lunar.pages.render import render
from lunar.pages.reproduced import ALIKE, REPRODUCED, Tables, apart, judge, recorded_tables, rows, summary
from lunar.pages.summary import reproduced
from lunar.progress import script


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} reproduced", smk.log[0]):
        own = Tables(pd.read_csv(smk.input.table), pd.read_csv(smk.input.attacks[0]) if smk.input.attacks else None)
        record = recorded_tables(smk.input.recorded_main, smk.input.recorded_attacks, smk.input.recorded_seeds)
        run = read_run(*smk.input.recorded_run)
        here = facts(
            smk.params.settings, Path(smk.input.requirements), shutil.which("nvidia-smi"), Path(__file__).parent
        )
        unlike, unknown = differences(here, run)
        table = judge(own, pd.read_csv(smk.input.long), record)
        told = {
            **summary(table),
            "differing": [row for row in rows(table) if row["verdict"] not in REPRODUCED],
            "apart": apart(own, record),
            "unlike": [one._asdict() for one in unlike],
            "unknown": unknown,
            "date": run.get("date") or "not recorded",
            "note": run.get("note") or "",
        }
        write_text(smk.output.csv, table.to_csv(index=False, float_format="%.6g"))
        write_numbers(smk.output.numbers, {"line": told["line"]})
        write_json(smk.output.json, told)
        write_text(smk.output.summary, reproduced(smk.wildcards.experiment, told))
        title = f"{smk.wildcards.experiment}: did it reproduce?"
        page = render(smk.input.template, style=smk.input.style, title=title, rows=rows(table), alike=ALIKE, **told)
        write_text(smk.output.html, page)


main(snakemake)  # noqa: F821
