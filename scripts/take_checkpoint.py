"""Take in a model that was unlearned elsewhere: check it, set it beside the model before, and tell what differs."""

from pathlib import Path

import torch

from lunar.errors import LunarError
from lunar.files import read_rows, write_json
from lunar.methods import admission, changes, checkpoint
from lunar.model.chat import Chat
from lunar.model.load import load_model, load_tokenizer
from lunar.progress import script


def main(smk) -> None:
    name, params, before = smk.wildcards.method, smk.params, Path(smk.input.before)
    with script(f"{smk.wildcards.experiment} take in {name}", smk.log[0]) as progress:
        torch.set_num_threads(smk.threads)
        [stated] = params.origin.values()
        origin = Path(smk.input.downloaded or stated).expanduser()
        rows = {part: read_rows(smk.input[part]) for part in ("forget", "retain")}
        chat = Chat(load_tokenizer(before), params.system_prompt, params.prompt)
        try:
            every = [row for part in rows.values() for row in part]
            done = checkpoint.take(origin, before, Path(smk.output.folder), every, params.dtype, params.model)
            old, new = (load_model(path, params.dtype) for path in (before, smk.output.folder))
            found = changes.changes(new, old)
            told = changes.summary(found, old)
            known = {
                title: admission.known(model, chat, rows, params.generation)
                for title, model in (("before", old), ("after", new))
            }
            admission.judge(known["before"], known["after"], params.never_knew)
        except LunarError as error:
            raise LunarError(f"methods.{name}: {error}") from error
        for sentence in done:
            progress.say(sentence)
        shares = {title: f"{one['forget']:.3f} and {one['retain']:.3f}" for title, one in known.items()}
        progress.say(
            f"{told['weights']} of {told['of']} weights differ, by {told['share']:.2%}; ROUGE-1 of a few forget and "
            f"retained rows: {shares['before']} before, {shares['after']} after"
        )
        write_json(
            smk.output.facts,
            {
                "chosen": {},
                "origin": params.origin,
                "done": done,
                "model": checkpoint.digests(origin),
                "before": checkpoint.digests(before),
                "summary": told,
                "changes": found,
                "known": known,
            },
        )


main(snakemake)  # noqa: F821
