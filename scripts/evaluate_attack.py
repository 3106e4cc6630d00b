"""Metrics of one method under one attack, and what it answers to the same questions when it is left alone."""

import importlib

from lunar.files import read_rows, write_json
from lunar.metrics.read import judged_alike, read_answers, read_attacked
from lunar.metrics.samples import compare, write_samples
from lunar.metrics.study import evaluate
from lunar.progress import script


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} evaluate {smk.wildcards.method}", smk.log[0]) as progress:
        for module in smk.params.measured["modules"]:
            importlib.import_module(module)
        chosen = [dict(smk.params.measured[kind]) for kind in ("answers", "methods")]
        how = (smk.params.resamples, smk.params.seed, *chosen)
        attacked, alone = {}, {}
        paths = zip(smk.params.splits, smk.input.data, smk.input.answers, smk.input.unattacked, strict=True)
        for split, data, answers, unattacked in paths:
            rows = read_rows(data)
            attacked[split] = read_attacked(answers, rows)
            alone[split] = judged_alike(read_answers(unattacked, rows), attacked[split])
        found = evaluate(attacked, *how)
        compare(f"{smk.wildcards.method}/{smk.wildcards.attack}", found, {"unattacked": evaluate(alone, *how)})
        write_json(smk.output.metrics, found.metrics)
        write_samples(smk.output.samples, found.samples)
        forget = found.metrics["splits"]["forget"]["rouge1"]
        before = forget["mean"] - forget["versus"]["unattacked"]["difference"]
        progress.say(f"under {smk.wildcards.attack} forget ROUGE-1 {forget['mean']:.3f}, {before:.3f} unattacked")


main(snakemake)  # noqa: F821
