"""Where an experiment's results come from: machine, versions, seeds, configuration, and what each rule took."""

import shutil
import time
from pathlib import Path

import yaml

from lunar.files import read_json, write_json, write_text
from lunar.pages.numbers import write_numbers
from lunar.pages.profile import TITLES, by_rule, readable
from lunar.pages.provenance import seeds, versions
from lunar.pages.recorded_run import facts
from lunar.pages.render import render
from lunar.plan.machine import duration
from lunar.plan.snakemake_files import benchmarks
from lunar.progress import script


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} provenance", smk.log[0]):
        settings = smk.params.settings
        table = by_rule(benchmarks(Path("results"), smk.params.jobs))
        requirements = Path(smk.input.requirements)
        made_with = facts(settings, requirements, shutil.which("nvidia-smi"), Path(__file__).parent)
        here = made_with["machine"]
        page = render(
            smk.input.template,
            style=smk.input.style,
            title=f"{smk.wildcards.experiment}: provenance",
            machine=here,
            probe=read_json(smk.input.probe),
            versions=versions(requirements.read_text(encoding="utf-8")),
            seeds=dict(seeds(settings)),
            configuration=yaml.safe_dump(settings, allow_unicode=True, width=100),
            titles=TITLES,
            rows=readable(table),
        )
        write_text(smk.output.html, page)
        write_json(smk.output.json, {"date": time.strftime("%Y-%m-%d"), **made_with})
        write_text(smk.output.csv, table.to_csv(index=False, float_format="%.4f"))
        first = table.iloc[0] if len(table) else {"rule": "none", "cpu_seconds": 0.0}
        numbers = {
            "jobs": int(table["jobs"].sum()),
            "first": f"``{first['rule']}``",
            "first_time": duration(first["cpu_seconds"]),
        }
        numbers |= {key: duration(table[column].sum()) for key, column in (("time", "seconds"), ("cpu", "cpu_seconds"))}
        write_numbers(smk.output.numbers, numbers | {"processor": here["Processor"], "seed": settings["seed"]})


main(snakemake)  # noqa: F821
