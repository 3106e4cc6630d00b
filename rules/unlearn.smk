"""Edits. Gives results/<experiment>/rehearsal/<method>.json and results/<experiment>/edits/<method>.safetensors.

A method's recipe is a class in scripts/lunar/methods. Rehearsals choose from the values under its `grid`. In them
retained authors play the forgotten one, and reported rows take no part. The race of optimisers against the closed form
gives results/<experiment>/optimisers/<method>.csv. Requests in sequence give results/<experiment>/sequential/<method>/.
"""


rule rehearse:
    """Try every setting of a method's grid on retained authors, one forgotten and one held out at a time."""
    input:
        unpack(of(Experiment.statistics_needed, rehearsal=True)),
        unpack(of(Experiment.references_needed)),
        unpack(of(Experiment.layers_needed)),
        unpack(of(Experiment.files_needed)),
        model=of(Experiment.method_model),
        before=of(Experiment.model_before),
        files="results/{experiment}/data/files.jsonl",
        names="results/{experiment}/data/names.jsonl",
        general="results/{experiment}/references/general_kept.jsonl",
        general_validation="results/{experiment}/data/general_validation.jsonl",
        refusals="results/{experiment}/data/refusals_build.jsonl",
        choices=of(Experiment.rehearsals_needed, own=False),
        code=plugin_library("rehearse.py", Experiment.recipe_module),
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
        settings=of(Experiment.entry),
        choices=of(Experiment.choices, own=False),
        module=of(Experiment.recipe_module),
        rehearsal=param("rehearsal"),
        retain=param("data", "retain"),
        candidates=param("layers", "candidates"),
        copies=param("activations", "renamed_copies"),
        leaked=param("references", "leaked"),
        batch_size=param("activations", "batch_size"),
        generation=param("generation"),
        system_prompt=param("system_prompt"),
        prompt=of(Experiment.prompt),
        base_prompt=of(Experiment.statistics_prompt),
        dtype=param("dtype"),
        seed=param("seed"),
    message:
        "unlearn | {wildcards.experiment}: rehearse {wildcards.method}"
    script:
        "../scripts/rehearse.py"


rule unlearn:
    """Make a method's edit, with its stated settings and those chosen in rehearsal."""
    input:
        unpack(of(Experiment.statistics_needed)),
        unpack(of(Experiment.rows_needed)),
        unpack(of(Experiment.references_needed)),
        unpack(of(Experiment.layers_needed)),
        unpack(of(Experiment.files_needed)),
        model=of(Experiment.method_model),
        before=of(Experiment.model_before),
        choices=of(Experiment.rehearsals_needed),
        code=plugin_library("unlearn.py", Experiment.recipe_module),
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
        mem_mb=lambda wildcards, attempt: limited(of(Experiment.edit_megabytes)(wildcards), attempt),
        runtime=runtime(30),
        gpu=lambda wildcards: GPU * ("model" in of(Experiment.needs)(wildcards)),
    params:
        settings=of(Experiment.entry),
        choices=of(Experiment.choices),
        module=of(Experiment.recipe_module),
        system_prompt=param("system_prompt"),
        prompt=of(Experiment.statistics_prompt),
        dtype=param("dtype"),
        seed=param("seed"),
    message:
        "unlearn | {wildcards.experiment}: make the edit of {wildcards.method}"
    script:
        "../scripts/unlearn.py"


rule race:
    """Minimise one method's objective by each configured optimiser and in closed form, from the same rows."""
    input:
        unpack(of(Experiment.race_needed)),
        model=of(Experiment.method_model),
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
        settings=of(Experiment.entry),
        race=param("optimisers"),
        system_prompt=param("system_prompt"),
        prompt=of(Experiment.statistics_prompt),
        dtype=param("dtype"),
        seed=param("seed"),
    message:
        "unlearn | {wildcards.experiment}: race optimisers against the closed form"
    script:
        "../scripts/race.py"


rule unlearn_in_sequence:
    """Serve further requests, composed and jointly, undo them, and put the questions after each step."""
    input:
        unpack(of(Experiment.statistics_needed, rehearsal=True)),
        unpack(of(Experiment.layers_needed)),
        unpack(of(Experiment.files_needed)),
        model=of(Experiment.method_model),
        choices=of(Experiment.rehearsals_needed),
        files="results/{experiment}/data/files.jsonl",
        names="results/{experiment}/data/names.jsonl",
        unseen="results/{experiment}/data/unseen.jsonl",
        general="results/{experiment}/data/general.jsonl",
        answered="results/{experiment}/references/general_kept.jsonl",
        refusals="results/{experiment}/data/refusals_build.jsonl",
        code=plugin_library("sequential.py", Experiment.recipe_module),
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
        settings=of(Experiment.entry),
        choices=of(Experiment.choices),
        module=of(Experiment.recipe_module),
        titles=of(Experiment.request_titles),
        requests=of(Experiment.request_files),
        retain=of(Experiment.never_requested),
        candidates=param("layers", "candidates"),
        copies=param("activations", "renamed_copies"),
        leaked=param("references", "leaked"),
        batch_size=param("activations", "batch_size"),
        generation=param("generation"),
        system_prompt=param("system_prompt"),
        prompt=of(Experiment.prompt),
        base_prompt=of(Experiment.statistics_prompt),
        dtype=param("dtype"),
        seed=param("seed"),
    message:
        "unlearn | {wildcards.experiment}: forget further authors with {wildcards.method}"
    script:
        "../scripts/sequential.py"
