"""Time and memory of every stage of unlearning at a model's size, beside its floor and the published ways."""

import torch

from lunar.bench.machine import check
from lunar.bench.measure import bench
from lunar.files import write_json
from lunar.model.devices import own_device
from lunar.model.embed import embedder
from lunar.progress import script


def main(smk) -> None:
    name, how = smk.wildcards.size, smk.params.how
    with script(f"bench {name}", smk.log[0]) as progress:
        torch.set_num_threads(smk.threads)
        device = own_device()
        check(smk.params.entry, how, device)
        embed = embedder(smk.params.embedder)
        embed(["a warm-up"])
        machine, stages = bench(
            how, smk.params.adamw, smk.params.epochs, embed, device, smk.params.seed, smk.output.edit, progress.say
        )
        facts = {
            "size": name,
            "settings": how,
            "machine": vars(machine),
            "torch": torch.__version__,
            "threads": smk.threads,
            "stages": [stage.row() for stage in stages],
        }
        write_json(smk.output.json, facts)


main(snakemake)  # noqa: F821
