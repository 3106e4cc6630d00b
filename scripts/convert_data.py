"""Write one set of a published data set in the project's row schema."""

from pathlib import Path

from lunar.data.read import records, renamed_fields
from lunar.data.sources import convert
from lunar.files import write_rows
from lunar.progress import script


def main(smk) -> None:
    with script(f"{smk.wildcards.source} {smk.wildcards.set}", smk.log[0]) as progress:
        folder, fields = Path(smk.input.folder), smk.params.fields
        files = {name: renamed_fields(records(folder / file), fields, set()) for name, file in smk.params.files.items()}
        rows, left_out = convert(files, smk.params.entry)
        for question in left_out:
            progress.say(f"left out, asked before: {question}")
        write_rows(smk.output.rows, rows)
        named = sum("author" in row for row in rows)
        progress.say(f"{len(rows)} rows, {named} with the name of their subject")


main(snakemake)  # noqa: F821
