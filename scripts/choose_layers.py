"""Score each layer's steered answers and choose the best layers."""

from lunar.files import read_rows, write_json
from lunar.metrics.layer_score import choose, layer_score
from lunar.metrics.refusal import KINDS, classify
from lunar.model.embed import embedder
from lunar.progress import script


def main(smk) -> None:
    with script(f"{smk.wildcards.experiment} choose layers", smk.log[0]) as progress:
        refusals = read_rows(smk.input.refusals)
        unethical = [row["answer"] for row in refusals if row["kind"] == "unethical"]
        embed = embedder(smk.params.embedder)
        layers = {}
        for layer, path in zip(smk.params.candidates, smk.input.rows, strict=True):
            outputs = [row["prediction"] for row in read_rows(path)]
            kinds = [classify(output) for output in outputs]
            layers[layer] = layer_score(outputs, smk.params.knowledge_reference, unethical, embed)
            layers[layer] |= {f"refusal_{kind}": kinds.count(kind) / len(kinds) for kind in KINDS}
            values = ", ".join(f"{name} {value:.3f}" for name, value in layers[layer].items())
            progress.say(f"layer {layer}: {values}")
        chosen = choose({layer: row["score"] for layer, row in layers.items()}, smk.params.top_k)
        progress.say(f"best layer {chosen['best']}, top {smk.params.top_k}: {chosen['top_k']}")
        write_json(smk.output.layers, chosen | {"layers": layers})


main(snakemake)  # noqa: F821
