"""Say where the time of experiments went, by rule, also of those that are half done."""

from pathlib import Path

from lunar.files import write_text
from lunar.pages.profile import by_rule, listing
from lunar.plan.snakemake_files import benchmarks
from lunar.progress import script


def main(smk) -> None:
    with script("profile", smk.log[0]) as progress:
        for name, patterns in smk.params.jobs.items():
            table = by_rule(benchmarks(Path("results"), patterns))
            if table.empty:
                progress.say(f"{name}: no job of it was run here")
                continue
            path = Path("results") / name / "tables/profile.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, table.to_csv(index=False, float_format="%.4f"))
            print(f"\n{name}\n{listing(table)}\n", flush=True)


main(snakemake)  # noqa: F821
