"""Say of each experiment of `run` whether it reproduces the recorded run. Writes its log and nothing else."""

from pathlib import Path

from lunar.files import read_json
from lunar.pages.reproduced import NO_RECORD, listing
from lunar.progress import script


def main(smk) -> None:
    with script("compare", smk.log[0]) as progress:
        told = {Path(path).parts[1]: read_json(path) for path in smk.input.told}
        for name in smk.params.run:
            if name in told:
                print(
                    f"\n{name}\n{listing(told[name])}\n  All numbers: results/{name}/tables/reproduced.html", flush=True
                )
                progress.say(f"{name}: {told[name]['line']}")
            else:
                progress.say(NO_RECORD.format(name=name))


main(snakemake)  # noqa: F821
