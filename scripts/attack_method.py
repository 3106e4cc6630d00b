"""Attack one method's model in every way and write what it then answers, and what shows that each attack happened."""

import torch

from lunar.attacks.base import Attack, AttackFailed, Target, changed, rouge1, target_inputs
from lunar.attacks.running import made_of, run_all
from lunar.edits import edit as edits
from lunar.files import Row, read_json, read_rows
from lunar.metrics.read import read_failures
from lunar.model.resume import Records, fingerprint
from lunar.progress import script


def main(smk) -> None:
    method, params = smk.wildcards.method, smk.params
    with script(f"{smk.wildcards.experiment} attacks on {method}", smk.log[0]) as progress:
        torch.set_num_threads(smk.threads)
        given = smk.input
        asked = {name: params[name] for name in ("generation", "system_prompt", "prompt", "dtype", "seed")}
        paths = [given.model, *([given.edit] if given.edit else []), *([given.facts] if given.facts else [])]
        shared = fingerprint([*paths, *given.unattacked], asked, params.settings, params.retain, smk.threads)
        answers = {part: read_rows(path) for part, path in zip(("forget", "retain"), given.unattacked, strict=True)}
        facts = read_json(given.facts) if given.facts else {"chosen": {}}
        target = Target(
            given.model,
            **asked,
            edit=edits.load(given.edit) if given.edit else {},
            changed=facts.get("summary", {}).get("down_proj", []),
            method=method,
            settings=params.settings | facts["chosen"],
            say=progress.say,
            progress=progress.bar,
        )

        unproven = read_failures(given.controls)

        def run(name: str, attack: Attack) -> Row:
            nonlocal target
            if name in unproven:
                raise AttackFailed(f"it did not succeed where it has to: {unproven[name]}")
            inputs = target_inputs({key: given[key] for key in params.attacks[name]["inputs"]}, params.retain)
            ids = {part: {row["id"] for row in inputs["rows"][part]} for part in answers}
            unattacked = {part: [row for row in answers[part] if row["id"] in ids[part]] for part in answers}
            target = target.following(inputs | {"unattacked": unattacked})
            found = attack.run(target)
            cut = sum(row.get("cut", False) for part in answers for row in found.rows[part])
            progress.say(f"{name}: {cut} answers were cut by generation.max_new_tokens", screen=bool(cut))
            differing = changed(found.rows, unattacked)
            before, after = rouge1(unattacked["forget"]), rouge1(found.rows["forget"])
            share = f"{differing['forget']:.0%} of answers changed"
            progress.say(f"{name}: forget ROUGE-1 {before:.3f} before, {after:.3f} under attack; {share}")
            return {"rows": found.rows, "evidence": found.evidence | {"changed": differing}, "curve": found.curve}

        prints = {name: made_of(__file__, how, given, shared) for name, how in params.attacks.items()}
        run_all(params.attacks, Records(smk.output.attacked), prints, run, progress.say, params.needed)


main(snakemake)  # noqa: F821
