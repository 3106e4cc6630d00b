"""Metrics of one method under every attack, and of what it answers to the same questions when it is left alone."""

import importlib

import numpy as np

from lunar.files import read_rows, write_json
from lunar.metrics.read import judged_alike, read_answers, read_attacked, read_attacks
from lunar.metrics.samples import compare, write_samples
from lunar.metrics.study import evaluate
from lunar.progress import script


def main(smk) -> None:
    method, splits = smk.wildcards.method, smk.params.splits
    with script(f"{smk.wildcards.experiment} evaluate {method} under attack", smk.log[0]) as progress:
        for module in smk.params.measured["modules"]:
            importlib.import_module(module)
        chosen = [dict(smk.params.measured[kind]) for kind in ("answers", "methods")]
        how = (smk.params.resamples, smk.params.seed, *chosen)
        data = {split: read_rows(path) for split, path in zip(splits, smk.input.data, strict=True)}
        unattacked = zip(splits, smk.input.unattacked, strict=True)
        alone = {split: read_answers(path, data[split]) for split, path in unattacked}
        records = read_attacks(smk.input.attacked, smk.params.attacks)
        metrics: dict[str, object] = {}
        samples: dict[str, np.ndarray] = {}
        for name, record in records.items():
            where = f"{smk.input.attacked}: {name}"
            attacked = {split: read_attacked(where, record["rows"][split], data[split]) for split in splits}
            found = evaluate(attacked, *how)
            same = {split: judged_alike(alone[split], attacked[split]) for split in splits}
            compare(f"{method}/{name}", found, {"unattacked": evaluate(same, *how)})
            metrics[name] = found.metrics
            samples |= {f"{name}/{key}": drawn for key, drawn in found.samples.items()}
            forget = found.metrics["splits"]["forget"]["rouge1"]
            before = forget["mean"] - forget["versus"]["unattacked"]["difference"]
            progress.say(f"{name}: forget ROUGE-1 {forget['mean']:.3f}, {before:.3f} unattacked", screen=False)
        write_json(smk.output.metrics, metrics)
        write_samples(smk.output.samples, samples)


main(snakemake)  # noqa: F821
