"""Highest cosine of each answer of one method to any of the reference refusals."""

from lunar.files import read_rows, write_rows
from lunar.metrics.read import read_answers
from lunar.model.embed import embedder
from lunar.progress import script


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} embed {smk.wildcards.method}", smk.log[0]):
        embed = embedder(smk.params.embedder)
        refusals = embed([row["answer"] for row in read_rows(smk.input.refusals)])
        scored = []
        for split, path, data in zip(smk.params.splits, smk.input.rows, smk.input.data, strict=True):
            rows = read_answers(path, read_rows(data))
            if rows:
                cosines = (embed([row["prediction"] for row in rows]) @ refusals.T).max(axis=1).tolist()
                scored += [
                    {"split": split, "id": row["id"], "similarity": round(cosine, 6)}
                    for row, cosine in zip(rows, cosines, strict=True)
                ]
        write_rows(smk.output.rows, scored)


main(snakemake)  # noqa: F821
