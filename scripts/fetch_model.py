"""Get the base model and turn it into a plain Hugging Face folder."""

from lunar.model.fetch import fetch
from lunar.progress import script


def main(smk) -> None:
    with script(f"fetch {smk.wildcards.base}", smk.log[0]) as progress:
        spec = dict(smk.params.spec)
        progress.say(f"source: {spec['source']}")
        progress.say(fetch(spec, smk.output.folder))


main(snakemake)  # noqa: F821
