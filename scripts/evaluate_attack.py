"""Metrics of one method under one attack, with what it answers unattacked and what other methods leak under it."""

from lunar.files import read_rows, write_json
from lunar.metrics.read import read_attack
from lunar.metrics.registry import evaluate
from lunar.progress import script


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} evaluate {smk.wildcards.method}", smk.log[0]) as progress:
        splits, others = smk.params.splits, smk.params.references
        data = {split: read_rows(path) for split, path in zip(splits, smk.input.data, strict=True)}
        # The method under attack comes first, then the same left alone, then the references; a file a split each.
        paths = iter(smk.input.answers)
        own, unattacked, *rest = ({split: next(paths) for split in splits} for _ in range(2 + len(others)))
        rows, references = read_attack(data, own, unattacked, dict(zip(others, rest, strict=True)))
        metrics = evaluate(rows, smk.params.resamples, smk.params.seed, references)
        # What needs likelihoods or embeddings is not computed under attack, and is left out instead of explained.
        found = {name: cell for name, cell in metrics.items() if "mean" in cell}
        found["splits"] = {
            split: {name: cell for name, cell in cells.items() if "mean" in cell}
            for split, cells in metrics["splits"].items()
        }
        write_json(smk.output.metrics, found)
        forget = found["splits"]["forget"]["rouge1"]
        before = forget["mean"] - forget["versus"]["unattacked"]["difference"]
        progress.say(f"under {smk.wildcards.attack} forget ROUGE-1 {forget['mean']:.3f}, {before:.3f} unattacked")


main(snakemake)  # noqa: F821
