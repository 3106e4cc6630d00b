"""Say where the time of experiments went, by rule, also of those that are half done."""

from pathlib import Path

from lunar.files import write_text
from lunar.pages.profile import by_job, by_rule, listing
from lunar.plan.snakemake_files import benchmarks
from lunar.progress import script


def main(smk) -> None:
    with script("profile", smk.log[0]) as progress:
        for name, patterns in smk.params.jobs.items():
            jobs = benchmarks(Path("results"), patterns)
            if not jobs:
                progress.say(f"{name}: no job of it was run here")
                continue
            folder = Path("results") / name / "tables"
            folder.mkdir(parents=True, exist_ok=True)
            table = by_rule(jobs)
            write_text(folder / "profile.csv", table.to_csv(index=False, float_format="%.4f"))
            write_text(folder / "profile_jobs.csv", by_job(jobs).to_csv(index=False, float_format="%.2f"))
            print(f"\n{name}\n{listing(table)}\n", flush=True)


main(snakemake)  # noqa: F821
