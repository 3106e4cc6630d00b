"""Check the raw rows of an experiment and write its splits."""

from pathlib import Path

from lunar.data.load import by_file, splits
from lunar.files import write_rows
from lunar.progress import script


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} data", smk.log[0]) as progress:
        rows = splits(smk.params.data)
        write_rows(smk.output.files, by_file(smk.params.data))
        for path in smk.output.splits:
            write_rows(path, rows[Path(path).stem])
        progress.say(", ".join(f"{name} {len(rows[name])}" for name in (Path(path).stem for path in smk.output.splits)))


main(snakemake)  # noqa: F821
