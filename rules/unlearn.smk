"""Edits. Gives results/<experiment>/rehearsal/<method>.json and results/<experiment>/edits/<method>.safetensors.

A method's recipe is a class in scripts/lunar/methods. Values under its `grid` are chosen in rehearsals, in which retained
authors play the forgotten one; the rows that are reported take no part. A race of optimisers against the closed form
gives results/<experiment>/optimisers/<method>.csv, requests in sequence results/<experiment>/sequential/<method>/.
"""


rule rehearse:
    """Try every setting of a method's grid on retained authors, one forgotten and one held out at a time."""
    input:
        unpack(lambda wildcards: statistics_needed(wildcards, rehearsal=True)),
        unpack(references_needed),
        unpack(layers_needed),
        model=method_model,
        before=model_before,
        retain=lambda wildcards: cfg(wildcards.experiment, "data", "retain"),
        names=lambda wildcards: cfg(wildcards.experiment, "data", "names"),
        general="results/{experiment}/references/general_kept.jsonl",
        general_validation="results/{experiment}/data/general_validation.jsonl",
        refusals="results/{experiment}/data/refusals_build.jsonl",
        choices=lambda wildcards: rehearsals_needed(wildcards, choices_of_others),
        code=recipe_library("rehearse.py"),
    output:
        chosen="results/{experiment}/rehearsal/{method}.json",
        settings="results/{experiment}/rehearsal/{method}.csv",
    log:
        "results/{experiment}/logs/rehearse_{method}.log",
    benchmark:
        "results/{experiment}/benchmarks/rehearse_{method}.tsv"
    conda:
        "../envs/model.yaml"
    resources:
        mem_mb=memory(3500, sums=True),
        runtime=runtime(60),
        gpu=GPU,
    params:
        settings=method_entry,
        choices=choices_of_others,
        module=lambda wildcards: RECIPES[method(wildcards)["recipe"]],
        rehearsal=param("rehearsal"),
        candidates=param("layers", "candidates"),
        copies=param("activations", "renamed_copies"),
        leaked=param("references", "leaked"),
        batch_size=param("activations", "batch_size"),
        generation=param("generation"),
        system_prompt=param("system_prompt"),
        prompt=method_prompt,
        base_prompt=base_prompt,
        dtype=param("dtype"),
        seed=param("seed"),
    message:
        "unlearn | {wildcards.experiment}: rehearse {wildcards.method}"
    script:
        "../scripts/rehearse.py"


rule unlearn:
    """Make a method's edit, with the settings stated and those chosen in rehearsal."""
    input:
        unpack(statistics_needed),
        unpack(rows_needed),
        unpack(layers_needed),
        model=method_model,
        before=model_before,
        choices=rehearsals_needed,
        code=recipe_library("unlearn.py"),
    output:
        edit="results/{experiment}/edits/{method}.safetensors",
        facts="results/{experiment}/edits/{method}.json",
        curve="results/{experiment}/edits/{method}_curve.csv",
        cost="results/{experiment}/edits/{method}_cost.json",
    log:
        "results/{experiment}/logs/unlearn_{method}.log",
    benchmark:
        "results/{experiment}/benchmarks/unlearn_{method}.tsv"
    conda:
        "../envs/model.yaml"
    resources:
        mem_mb=edit_memory,
        runtime=runtime(30),
        gpu=lambda wildcards: GPU if rows_needed(wildcards) else 0,
    params:
        settings=method_entry,
        choices=choices,
        module=lambda wildcards: RECIPES[method(wildcards)["recipe"]],
        system_prompt=param("system_prompt"),
        prompt=base_prompt,
        dtype=param("dtype"),
        seed=param("seed"),
    message:
        "unlearn | {wildcards.experiment}: make the edit of {wildcards.method}"
    script:
        "../scripts/unlearn.py"


rule race:
    """Minimise one method's objective by each configured optimiser and in closed form, from the same rows."""
    input:
        unpack(race_needed),
        model=method_model,
        code=library("race.py"),
    output:
        runs="results/{experiment}/optimisers/{method}.csv",
        facts="results/{experiment}/optimisers/{method}_cost.json",
    log:
        "results/{experiment}/logs/race_{method}.log",
    benchmark:
        "results/{experiment}/benchmarks/race_{method}.tsv"
    conda:
        "../envs/model.yaml"
    threads: 2
    resources:
        mem_mb=memory(3500),
        runtime=runtime(30),
        gpu=GPU,
    params:
        settings=method_entry,
        race=param("optimisers"),
        system_prompt=param("system_prompt"),
        prompt=base_prompt,
        dtype=param("dtype"),
        seed=param("seed"),
    message:
        "unlearn | {wildcards.experiment}: optimisers against the closed form, on {wildcards.method}"
    script:
        "../scripts/race.py"


rule unlearn_in_sequence:
    """Serve further requests after the first, composed and jointly, take them back, and ask after each step."""
    input:
        unpack(lambda wildcards: statistics_needed(wildcards, rehearsal=True)),
        unpack(layers_needed),
        model=method_model,
        choices=rehearsals_needed,
        forget=lambda wildcards: cfg(wildcards.experiment, "data", "forget"),
        requests=lambda wildcards: cfg(wildcards.experiment, "sequential", "requests"),
        retain=never_requested,
        names=lambda wildcards: cfg(wildcards.experiment, "data", "names"),
        unseen="results/{experiment}/data/unseen.jsonl",
        general="results/{experiment}/data/general.jsonl",
        answered="results/{experiment}/references/general_kept.jsonl",
        refusals="results/{experiment}/data/refusals_build.jsonl",
        code=recipe_library("sequential.py"),
    output:
        answers="results/{experiment}/sequential/{method}/answers.jsonl",
        composed="results/{experiment}/sequential/{method}/composed.safetensors",
        joint="results/{experiment}/sequential/{method}/joint.safetensors",
    log:
        "results/{experiment}/logs/sequential_{method}.log",
    benchmark:
        "results/{experiment}/benchmarks/sequential_{method}.tsv"
    conda:
        "../envs/model.yaml"
    resources:
        mem_mb=memory(3500),
        runtime=runtime(30),
        gpu=GPU,
    params:
        settings=method_entry,
        choices=choices,
        module=lambda wildcards: RECIPES[method(wildcards)["recipe"]],
        titles=lambda wildcards: request_titles(wildcards.experiment),
        candidates=param("layers", "candidates"),
        copies=param("activations", "renamed_copies"),
        leaked=param("references", "leaked"),
        batch_size=param("activations", "batch_size"),
        generation=param("generation"),
        system_prompt=param("system_prompt"),
        prompt=method_prompt,
        base_prompt=base_prompt,
        dtype=param("dtype"),
        seed=param("seed"),
    message:
        "unlearn | {wildcards.experiment}: requests in sequence by {wildcards.method}"
    script:
        "../scripts/sequential.py"
