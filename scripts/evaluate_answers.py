"""Every metric of one method that is left alone, with bootstrap intervals, and the samples behind them."""

import importlib

from lunar.files import read_rows, write_json
from lunar.metrics.read import read_likelihoods, read_study
from lunar.metrics.samples import write_samples
from lunar.metrics.study import evaluate
from lunar.progress import script


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} evaluate {smk.wildcards.method}", smk.log[0]) as progress:
        for module in smk.params.measured["modules"]:
            importlib.import_module(module)
        splits, chosen = smk.params.splits, [dict(smk.params.measured[kind]) for kind in ("answers", "methods")]
        data = {split: read_rows(path) for split, path in zip(splits, smk.input.data, strict=True)}
        answers = dict(zip(splits, smk.input.answers, strict=True))
        rows = read_study(data, answers, smk.input.likelihood, smk.input.similarity)
        # A model that never saw the forget set is compared with by its likelihoods alone.
        never_saw = [*read_likelihoods(smk.input.reference, data)["forget"].values()] if smk.input.reference else None
        metrics, samples = evaluate(rows, smk.params.resamples, smk.params.seed, *chosen, never_saw)
        metrics["notes"] = {"refusal_quality": f"embedder {smk.params.embedder}"}
        write_json(smk.output.metrics, metrics)
        write_samples(smk.output.samples, samples)
        forget, retain = (metrics["splits"][split]["rouge1"]["mean"] for split in ("forget", "retain"))
        progress.say(f"DS {metrics['ds']['mean']:.1f}: forget {forget:.3f}, retain {retain:.3f}")


main(snakemake)  # noqa: F821
