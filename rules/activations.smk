"""Clean references, and one pass a set for directions, the exact solve and the PCA figures.

Needs the models, the splits and vanilla's answers to the build parts; gives results/<experiment>/references/ and
results/<experiment>/activations/<method>/<set>.safetensors.
"""

# Which rows each set of statistics is made of. General questions go with the model's own answers.
ACTIVATION_SETS = {
    "forget": "data/forget.jsonl",
    "short": "data/forget_short.jsonl",
    "renamed": "references/renamed_kept.jsonl",
    "declined": "data/forget_declined.jsonl",
    "retain": "data/retain.jsonl",
    "unseen": "data/unseen.jsonl",
    "general": "generations/vanilla/none/general_build.jsonl",
    "fictitious": "references/fictitious_kept.jsonl",
    "harmful": "references/harmful_kept.jsonl",
}


rule clean_references:
    """Keep the reference prompts that the model refuses in the right way; store the others too."""
    input:
        rows=expand(
            "results/{{experiment}}/generations/vanilla/none/{kind}_build.jsonl", kind=["fictitious", "harmful"]
        ),
        code=library("clean_references.py"),
    output:
        expand(
            "results/{{experiment}}/references/{kind}_{fate}.jsonl",
            kind=["fictitious", "harmful"],
            fate=["kept", "dropped"],
        ),
    log:
        "results/{experiment}/logs/clean_references.log",
    benchmark:
        "results/{experiment}/benchmarks/clean_references.tsv"
    localrule: True
    conda:
        "../envs/data.yaml"
    params:
        minimum=param("references", "minimum"),
    message:
        "references | {wildcards.experiment}: keep what the model refuses"
    script:
        "../scripts/clean_references.py"


rule clean_renamed:
    """Keep the renamed questions that the model does not answer as if they were about the forgotten one."""
    input:
        model=lambda wildcards: model_folder(wildcards.experiment, "full"),
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
        "references | {wildcards.experiment}: keep renamed questions that are about somebody else"
    script:
        "../scripts/clean_renamed.py"


rule collect_activations:
    """One batched pass over a set: means, Gram sums and a sample (vanilla), or means and a sample (an edited model)."""
    input:
        model=method_model,
        edit=method_edit,
        rows=lambda wildcards: f"results/{wildcards.experiment}/{ACTIVATION_SETS[wildcards.set]}",
        code=library("collect_activations.py"),
    output:
        statistics="results/{experiment}/activations/{method}/{set}.safetensors",
    log:
        "results/{experiment}/logs/activations_{method}_{set}.log",
    benchmark:
        "results/{experiment}/benchmarks/activations_{method}_{set}.tsv"
    wildcard_constraints:
        set="|".join(ACTIVATION_SETS),
    conda:
        "../envs/model.yaml"
    resources:
        mem_mb=memory(3500, sums=True),
        runtime=runtime(30),
        gpu=GPU,
    params:
        gram_layers=grams_needed,
        batch_size=param("activations", "batch_size"),
        sample=param("activations", "sample"),
        system_prompt=param("system_prompt"),
        prompt=method_prompt,
        dtype=param("dtype"),
    message:
        "activations | {wildcards.experiment}: {wildcards.method} reads {wildcards.set}"
    script:
        "../scripts/collect_activations.py"
