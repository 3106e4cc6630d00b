"""Write an adapter or a base model as GGUF."""

from pathlib import Path

import torch

from lunar.edits import gguf_adapter
from lunar.progress import script


def main(smk) -> None:
    what = smk.wildcards.get("method") or smk.wildcards.model
    with script(f"{smk.wildcards.experiment} GGUF of {what}", smk.log[0]) as progress:
        torch.set_num_threads(smk.threads)
        folder, path = Path(smk.input.model), Path(smk.output.gguf)
        if adapter := smk.input.get("adapter"):
            count = gguf_adapter.write_adapter(Path(adapter), folder, path)
            progress.say(f"{path}: {count} modules, {path.stat().st_size / 1e3:.0f} kB")
        else:
            size = gguf_adapter.write_base(folder, path, smk.wildcards.dtype)
            progress.say(f"{path}: {size / 1e6:.0f} MB")


main(snakemake)  # noqa: F821
