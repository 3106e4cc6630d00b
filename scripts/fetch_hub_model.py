"""Download a base model from its hub; fetch_model turns it into the folder that all else uses."""

from lunar.model.hub import fetch_model
from lunar.progress import script


def main(smk) -> None:
    with script(f"download {smk.wildcards.base}", smk.log[0]) as progress:
        fetch_model(smk.params.model, smk.output.folder)
        progress.say(f"{smk.params.model['id']} at {smk.params.model['revision']}")


main(snakemake)  # noqa: F821
