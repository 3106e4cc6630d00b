"""Every metric of one (method, attack), with bootstrap intervals and paired differences from the reference methods."""

from lunar.files import read_rows, write_json
from lunar.metrics.read import read_study
from lunar.metrics.registry import evaluate
from lunar.progress import script


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} evaluate {smk.wildcards.method}", smk.log[0]) as progress:
        splits = smk.params.splits
        data = {split: read_rows(path) for split, path in zip(splits, smk.input.data, strict=True)}
        # The method itself comes first, then the references; each has a file of answers a split.
        studies = []
        for number, parts in enumerate(zip(smk.input.likelihood, smk.input.similarity, strict=True)):
            paths = smk.input.answers[number * len(splits) : (number + 1) * len(splits)]
            studies.append(read_study(data, dict(zip(splits, paths, strict=True)), *parts))
        references = dict(zip(smk.params.references, studies[1:], strict=True))
        metrics = evaluate(studies[0], smk.params.resamples, smk.params.seed, references)
        metrics["notes"] = {"refusal_quality": f"embedder {smk.params.embedder}"}
        write_json(smk.output.metrics, metrics)
        forget, retain = (metrics["splits"][split]["rouge1"]["mean"] for split in ("forget", "retain"))
        progress.say(f"DS {metrics['ds']['mean']:.1f}: forget {forget:.3f}, retain {retain:.3f}")


main(snakemake)  # noqa: F821
