"""Clean references, and one pass over each set for directions, the exact solve and the PCA figures.

Needs the models, the splits and vanilla's answers to the build parts; gives results/<experiment>/references/ and
results/<experiment>/activations/<method>/<set>.safetensors.
"""


rule clean_references:
    """Keep the reference prompts that the model refuses for the right reason; give general questions its answers."""
    input:
        general="results/{experiment}/generations/vanilla/none/general_build.jsonl",
        rows=expand(
            "results/{{experiment}}/generations/vanilla/none/{kind}_build.jsonl", kind=["fictitious", "harmful"]
        ),
        code=library("clean_references.py"),
    output:
        fictitious_kept="results/{experiment}/references/fictitious_kept.jsonl",
        fictitious_dropped="results/{experiment}/references/fictitious_dropped.jsonl",
        harmful_kept="results/{experiment}/references/harmful_kept.jsonl",
        harmful_dropped="results/{experiment}/references/harmful_dropped.jsonl",
        general_kept="results/{experiment}/references/general_kept.jsonl",
    log:
        "results/{experiment}/logs/clean_references.log",
    benchmark:
        "results/{experiment}/benchmarks/clean_references.tsv"
    localrule: True
    conda:
        "../envs/data.yaml"
    params:
        minimum=param("references", "minimum"),
        needed=of(Experiment.made_here),
    message:
        "references | {wildcards.experiment}: keep the prompts that the model refuses"
    script:
        "../scripts/clean_references.py"


rule clean_renamed:
    """Keep the renamed questions that the model does not answer with facts about the forgotten subject."""
    input:
        model=of(Experiment.full_model),
        forget="results/{experiment}/data/forget.jsonl",
        short="results/{experiment}/data/forget_short.jsonl",
        renamed="results/{experiment}/data/forget_renamed.jsonl",
        code=library("clean_renamed.py"),
    output:
        kept="results/{experiment}/references/renamed_kept.jsonl",
        dropped="results/{experiment}/references/renamed_dropped.jsonl",
    log:
        "results/{experiment}/logs/clean_renamed.log",
    benchmark:
        "results/{experiment}/benchmarks/clean_renamed.tsv"
    conda:
        "../envs/model.yaml"
    resources:
        mem_mb=memory(2500),
        runtime=runtime(30),
        gpu=GPU,
    params:
        leaked=param("references", "leaked"),
        generation=param("generation"),
        system_prompt=param("system_prompt"),
        dtype=param("dtype"),
    message:
        "references | {wildcards.experiment}: keep renamed questions about somebody else"
    script:
        "../scripts/clean_renamed.py"


rule collect_activations:
    """One batched pass over a set. It gives means and a sample, and for vanilla Gram sums too."""
    input:
        model=of(Experiment.method_model),
        edit=of(Experiment.edit),
        rows=of(Experiment.rows_of_set),
        code=library("collect_activations.py"),
    output:
        statistics="results/{experiment}/activations/{method}/{part}.safetensors",
    log:
        "results/{experiment}/logs/activations_{method}_{part}.log",
    benchmark:
        "results/{experiment}/benchmarks/activations_{method}_{part}.tsv"
    wildcard_constraints:
        part="|".join(splits.ACTIVATIONS),
    conda:
        "../envs/model.yaml"
    resources:
        mem_mb=memory(3500, sums=True),
        runtime=runtime(30),
        gpu=GPU,
    params:
        gram_layers=of(Experiment.grams_needed),
        batch_size=param("activations", "batch_size"),
        sample=param("activations", "sample"),
        system_prompt=param("system_prompt"),
        prompt=of(Experiment.prompt),
        dtype=param("dtype"),
    message:
        "activations | {wildcards.experiment}: read {wildcards.part} with {wildcards.method}"
    script:
        "../scripts/collect_activations.py"
