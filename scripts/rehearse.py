"""Try the settings of a method's grid on retained authors and choose the one with the best mean score.

After each pair of authors the better half of the settings goes on to the next (successive halving): a setting that is
chosen was tried on all pairs, most that are not were tried on few.
"""

import importlib
import json

import pandas as pd
import torch

from lunar.activations.statistics import collect
from lunar.data.rows import with_refusals
from lunar.edits import edit as edits
from lunar.errors import Diverged
from lunar.files import read_rows, write_json, write_text
from lunar.methods.base import METHODS, Job
from lunar.methods.rehearsal import cast, combinations, halved, measure, score, share_refused
from lunar.methods.renamed import told_apart
from lunar.model.chat import Chat
from lunar.model.generate import generate
from lunar.plan.snakemake_files import chosen_values, job_inputs
from lunar.progress import script

WORST = score(1.0, 0.0, 1.0)


def main(smk) -> None:
    name = smk.wildcards.method
    with script(f"{smk.wildcards.experiment} rehearse {name}", smk.log[0]) as progress:
        torch.set_num_threads(smk.threads)
        importlib.import_module(smk.params.module)
        entry = smk.params.settings | chosen_values(smk.params.choices, smk.input.choices)
        how = smk.params.rehearsal
        grid = combinations(entry.pop("grid"))
        pairs = how["authors"][: entry.get("rehearsals")]
        prompts = [smk.params.system_prompt, smk.params.base_prompt]
        before = smk.input.before or None
        job = Job(smk.input.model, smk.params.dtype, *prompts, before, seed=smk.params.seed, say=lambda text: None)
        chat = Chat(job.chat.tokenizer, smk.params.system_prompt, smk.params.prompt)
        shared = job_inputs(smk.input)
        job.chosen = shared["chosen"]
        answered, refusals = read_rows(smk.input.general), read_rows(smk.input.refusals)
        general = read_rows(smk.input.general_validation)[: how["general"]]
        questions = [row["question"] for row in general]
        refused = share_refused(generate(job.model, chat, questions, **smk.params.generation))
        alive = list(range(len(grid)))
        rounds = halved(len(grid), len(pairs))
        results = []
        bar = progress.bar("settings", sum(rounds))
        for number, pair in enumerate(pairs):
            parts = cast(
                **pair, retain=smk.input.retain, names=smk.input.names, copies=smk.params.copies, seed=smk.params.seed
            )
            parts["declined"] = with_refusals(parts["forget"], refusals, "knowledge")
            parts |= {"general": answered, "refusals": refusals, "general_validation": general}
            statistics = {}
            if "direction" in entry:
                kept = {"declined"} & {*entry["keep"]}
                own = {part: parts[part] for part in ("forget", "short", "retain", *kept)}
                own["renamed"], _ = told_apart(
                    job.model,
                    job.chat,
                    parts["renamed"],
                    [*own["forget"], *own["short"]],
                    smk.params.leaked,
                    smk.params.generation,
                )
                for part, rows in own.items():
                    statistics[part] = collect(
                        job.model,
                        [job.chat.encode(row["question"], row.get("answer") or None) for row in rows],
                        pad_id=job.chat.tokenizer.pad_token_id,
                        batch_size=smk.params.batch_size,
                        gram_layers=smk.params.candidates,
                    )
            job.rows, job.memo = parts | shared["rows"], {}
            job.statistics = shared["statistics"] | statistics
            job.directions = shared["directions"] | statistics
            for tried in alive:
                setting = grid[tried]
                try:
                    outcome = METHODS[entry["recipe"]](entry | setting).unlearn(job)
                except Diverged as error:
                    row = {"score": WORST}
                    progress.say(f"{json.dumps(setting)}: {error}", screen=False)
                else:
                    with edits.applied(job.model, outcome.edit):
                        row = measure(job.model, chat, parts, smk.params.generation)
                    row["score"] = score(row["forget"], row["held_out"], max(0.0, row["refused"] - refused))
                results.append({"setting": tried, "pair": number + 1} | setting | row)
                values = ", ".join(f"{key} {value:.3f}" for key, value in row.items())
                progress.say(f"{json.dumps(setting)} without {pair['forget']}: {values}", screen=False)
                bar(len(results))
            table = pd.DataFrame(results)
            means = table[table["setting"].isin(alive)].groupby("setting")["score"].mean()
            alive = sorted(means.sort_values(kind="stable").index[: [*rounds[1:], 1][number]])
        best = alive[0]
        progress.say(f"chosen: {json.dumps(grid[best])}, mean score {means[best]:.1f} (best of {len(grid)})")
        write_text(smk.output.settings, table.to_csv(index=False))
        write_json(smk.output.chosen, {"chosen": grid[best], "score": float(means[best])})


main(snakemake)  # noqa: F821
