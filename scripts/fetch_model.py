"""Get the base model and turn it into a plain Hugging Face folder."""

from lunar.files import write_json
from lunar.model.fetch import fetch
from lunar.progress import script


def main(smk) -> None:
    with script(f"fetch {smk.wildcards.base}", smk.log[0]) as progress:
        spec = dict(smk.params.spec)
        progress.say(f"source: {spec['source']}")
        line, found = fetch(spec, smk.output.folder)
        progress.say(line)
        write_json(smk.output.probe, [one._asdict() for one in found])


main(snakemake)  # noqa: F821
