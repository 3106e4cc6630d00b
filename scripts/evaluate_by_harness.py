"""Evaluate a model folder by lm-eval, on the experiment's own rows and on tasks that the configuration names."""

import tempfile
from pathlib import Path

from lunar.files import read_rows, write_json
from lunar.model.chat import Chat
from lunar.model.devices import own_device
from lunar.model.load import load_tokenizer
from lunar.pages.harness import columns
from lunar.progress import script
from lunar.published import harness


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} lm-eval of {smk.wildcards.method}", smk.log[0]) as progress:
        chat = Chat(load_tokenizer(smk.input.model), smk.params.system_prompt, smk.params.prompt)
        sets = {Path(path).stem: read_rows(path) for path in smk.input.rows}
        limit = smk.params.generation["max_new_tokens"]
        with tempfile.TemporaryDirectory() as folder:
            names = harness.write_tasks(Path(folder), sets, chat, limit)
            asked = [Path(smk.params.python), Path(smk.input.model), [*names, *smk.params.tasks], Path(folder)]
            found = harness.run(*asked, own_device().type, smk.params.generation["batch_size"])
        write_json(smk.output.json, found)
        progress.say(", ".join(f"{key} {value:.3f}" for key, value in columns(found).items()))


main(snakemake)  # noqa: F821
