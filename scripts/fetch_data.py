"""Fetch the files of a published data set, and check them."""

from lunar.model.hub import fetch_files
from lunar.progress import script


def main(smk) -> None:
    with script(f"fetch {smk.wildcards.source}", smk.log[0]) as progress:
        fetch_files(smk.wildcards.source, smk.params.source, smk.output.folder)
        progress.say(", ".join(smk.params.source["files"].values()))


main(snakemake)  # noqa: F821
