"""Fetch the published outputs from their pinned commit."""

from pathlib import Path

from lunar.progress import script
from lunar.published.download import download


def main(smk) -> None:
    with script("published outputs", smk.log[0]) as progress:
        how = smk.params.fetch
        download(how["url"], how["commit"], how["files"], Path(smk.output.folder))
        progress.say(f"fetched and checked {len(how['files'])} files")


main(snakemake)  # noqa: F821
