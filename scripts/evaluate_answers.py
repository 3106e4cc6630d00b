"""Every metric of one (method, attack), with bootstrap intervals."""

from lunar.files import read_rows, write_json
from lunar.metrics import evaluate
from lunar.progress import script


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} evaluate {smk.wildcards.method}", smk.log[0]) as progress:
        splits = {split: read_rows(path) for split, path in zip(smk.params.splits, smk.input.rows, strict=True)}
        metrics = evaluate(splits, smk.params.resamples, smk.params.seed)
        write_json(smk.output.metrics, metrics)
        forget, retain = (metrics["splits"][split]["rouge1"]["mean"] for split in ("forget", "retain"))
        progress.say(f"DS {metrics['ds']['mean']:.1f}: forget {forget:.3f}, retain {retain:.3f}")


main(snakemake)  # noqa: F821
